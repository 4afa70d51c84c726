"""What lineage, reproduce and prune decide without registry, git or DVC."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from photoqual.config import Params
from photoqual.errors import ConfigError, PipelineError
from photoqual.pipeline import outs
from photoqual.pipeline.dvc import configure
from photoqual.pipeline.lineage_text import comparison_text
from photoqual.pipeline.reproduce import Row, auc_row, compared, content_hash, reproduced
from photoqual.registry.facts import named
from photoqual.registry.lineage import flat_params
from photoqual.registry.prune import Known, kept
from photoqual.settings import Settings


@pytest.mark.parametrize(
    ("model", "which"),
    [
        ("models:/photoqual@champion", "champion"),
        ("models:/photoqual/12", "12"),
        ("previous_champion", "previous_champion"),
        ("3", "3"),
    ],
)
def test_a_version_can_be_named_by_address_alias_or_number(model: str, which: str) -> None:
    assert named(model) == which


@pytest.mark.parametrize("model", ["models:/other@champion", "models/challenger", "", "models:/photoqual/", "a b"])
def test_what_names_no_version_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match="models:/photoqual@champion"):
        named(model)


def test_the_catalog_tells_photos_by_source_reasons_votes_and_span(make_catalog: Callable[..., pd.DataFrame]) -> None:
    day = pd.Timestamp("2024-03-01", tz="UTC")
    catalog = make_catalog(
        {"source": "a", "votes_count": 4, "uploaded_at": day},
        {"source": "a", "votes_count": 0},
        {"source": "b", "votes_count": None},
        {"source": "b", "votes_count": 5, "photo_id": f"{0:064x}"},
        {"source": "b", "votes_count": 9, "status": "truncated"},
        {"source": "b", "status": "truncated", "photo_id": None},
        {"source": "c", "status": "source_removed"},
        {"source": "c", "status": "page:http_404", "photo_id": None},
    )
    told = outs.of_catalog(catalog)
    assert told["photos"] == 3
    assert told["by_source"] == {"a": 2, "b": 1}
    assert told["quarantined"] == {"source_removed": 1, "truncated": 2}
    assert (told["votes"], told["photos_with_votes"]) == (4, 1)
    assert told["uploaded"] == ["2024-03-01", "2026-11-01"]


def test_a_catalog_without_dates_has_no_span(make_catalog: Callable[..., pd.DataFrame]) -> None:
    assert outs.of_catalog(make_catalog({"uploaded_at": None}))["uploaded"] is None


def test_labels_splits_and_validation_are_counted() -> None:
    labels = pd.DataFrame({"good": pd.array([1, 1, 0, None], dtype="Int8")})
    assert outs.of_labels(labels) == {"good": 2, "bad": 1, "unlabelled": 1}
    splits = pd.DataFrame({"split": ["train", "train", "test", "held_out"]})
    assert outs.of_splits(splits) == {"train": 2, "validation": 0, "test": 1, "held_out": 1}
    summary = {"ok": True, "expectations": [{"name": "a", "ok": True}, {"name": "b", "ok": False}]}
    assert outs.of_validation(summary) == {"accepted": True, "held": 1, "expectations": 2, "failed": ["b"]}


def test_the_label_rule_is_told_in_words(make_params: Callable[..., Params]) -> None:
    rule = outs.label_rule(flat_params(make_params()))
    assert rule == "extremes: good from 5 stars, bad up to 2, at least 1 vote(s), without indoor"
    assert outs.label_rule({"labels.rule": "folders"}) == "folders"
    ordinal = outs.label_rule(flat_params(make_params(**{"labels.rule": "ordinal", "labels.good_at_least": 4})))
    assert ordinal == "ordinal: good from 4 stars, bad below, at least 1 vote(s), without indoor"
    assert outs.label_rule({}) is None


def test_params_that_differ_are_told_with_both_values() -> None:
    before, now = {"a": "1", "b": "2", "gone": "x"}, {"a": "1", "b": "3", "new": "y"}
    assert outs.differing(before, now) == {"b": ["2", "3"], "gone": ["x", None], "new": [None, "y"]}


@pytest.mark.parametrize(
    ("registered", "here", "outcome"),
    [
        (0.8, 0.8, "equal"),
        (0.8, 0.8009, "equal"),
        (0.8, 0.7991, "equal"),
        (0.8, 0.8011, "differs"),
        (0.8, None, "not made"),
        (None, 0.8, "not known"),
        (None, None, "not known"),
        (0.8, float("nan"), "differs"),
    ],
)
def test_the_auc_is_equal_within_a_thousandth(registered: float | None, here: float | None, outcome: str) -> None:
    assert auc_row(registered, here).outcome == outcome


def test_only_what_counts_decides_whether_a_version_is_reproduced() -> None:
    locked = {"data/a": "1", "data/b": "2", "data/c": "3"}
    rows = compared(locked, {"data/a": "1", "data/b": "9", "data/c": None})
    assert [row.outcome for row in rows] == ["equal", "differs", "not made"]
    information = Row("model file", "1", "2", "differs", counts=False)
    assert reproduced([rows[0], information])
    assert not reproduced([rows[0], rows[1]])
    assert not reproduced([rows[0], rows[2]])
    assert not reproduced([rows[0], auc_row(None, 0.8)])


def test_a_file_and_a_folder_are_hashed_as_dvc_hashes_them(tmp_path: Path) -> None:
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs import LocalFileSystem

    folder = tmp_path / "photos"
    for name in ("b.parquet", "a/00001.parquet", "a.x/é.parquet", "a/b/c.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 100)
    files = LocalFileSystem()
    _, _, by_dvc = build(HashFileDB(files, str(tmp_path / "db")), str(folder), files, "md5")
    assert content_hash(folder) == by_dvc.hash_info.value
    file = folder / "b.parquet"
    assert content_hash(file) == hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    assert content_hash(tmp_path / "missing") is None


def test_a_clone_uses_cache_and_remotes_of_the_project_beside_it(tmp_path: Path) -> None:
    beside, clone = tmp_path / "beside", tmp_path / "clone"
    for folder in (beside, clone):
        (folder / ".dvc").mkdir(parents=True)
    (beside / ".dvc/config").write_text("[core]\n    remote = team\n['remote \"team\"']\n    url = ../../store\n")
    (beside / ".dvc/config.local").write_text("['remote \"team\"']\n    endpointurl = http://127.0.0.1:9000/%20\n")
    configure(clone, Settings(), beside=beside)
    text = (clone / ".dvc/config.local").read_text()
    assert f"dir = {beside}/.dvc/cache" in text
    assert "remote = team" in text
    assert "endpointurl = http://127.0.0.1:9000/%20" in text
    (url,) = [line.split(" = ")[1] for line in text.splitlines() if line.startswith("url = ")]
    assert Path(url).resolve() == (tmp_path / "store").resolve()
    configure(clone, Settings(dvc_cache=tmp_path / "shared", dvc_remote_url="s3://bucket/x"), beside=beside)
    text = (clone / ".dvc/config.local").read_text()
    assert f"dir = {tmp_path}/shared" in text
    assert "remote = photoqual" in text
    assert "url = s3://bucket/x" in text


def test_a_clone_beside_nothing_needs_a_remote(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(PipelineError, match="names no DVC remote"):
        configure(tmp_path, Settings())


def test_the_comparison_names_what_differs_and_where_to_look() -> None:
    told: dict[str, Any] = {
        "version": "3",
        "same": False,
        "rows": [
            {"what": "data/labels.parquet", "registered": "a" * 32, "here": "", "outcome": "not made", "counts": True},
            {"what": "model file", "registered": "b" * 64, "here": "c" * 64, "outcome": "differs", "counts": False},
        ],
        "stages": [],
        "not_run": ["refresh"],
        "failed": "stage label failed: no photos",
        "seconds": 12.3,
        "workspace": "/somewhere",
    }
    text = comparison_text(told)
    assert "Version 3 is NOT reproduced" in text
    assert "stage label failed" in text
    assert "/somewhere" in text
    (labels,) = [line for line in text.splitlines() if line.startswith("data/labels.parquet")]
    assert labels.endswith("not made")
    assert "differs (for information)" in text
    assert "is reproduced" in comparison_text({**told, "same": True, "failed": None})


PLAIN = [Known(number) for number in range(1, 8)]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (Known(2), None),
        (Known(2, decision="refused"), None),
        (Known(2, decision="not_evaluable"), None),
        (Known(2, aliases=("challenger",)), "has the alias challenger"),
        (Known(2, was_champion=True, decision="refused"), "was champion"),
        (Known(2, decision="promoted"), "was champion"),
        (Known(2, rolled_back=True), "has a part in a rollback"),
        (Known(2, decision="awaiting_approval"), "awaits approval"),
        (Known(2, judging=True), "is being judged"),
    ],
)
def test_what_a_prune_keeps(changed: Known, why: str | None) -> None:
    versions = [changed if version.number == 2 else version for version in PLAIN]
    stay = kept(versions, keep=3)
    assert stay.get(2) == why
    assert set(stay) - {2} == {5, 6, 7}
    assert set(kept(reversed(versions), keep=3)) == set(stay)


def test_a_prune_may_keep_none_of_the_newest_and_more_than_there_are() -> None:
    assert kept(PLAIN, keep=0) == {}
    assert len(kept(PLAIN, keep=100)) == 7
