"""Forgetting photos: out of all data, never fetched again, in every clone; which models knew them is said."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import ImageEnhance

from photoqual.cli import main
from photoqual.config import Params, load_params
from photoqual.errors import ConfigError, DataError, MissingData, PipelineError
from photoqual.labels.rules import label, read_labels
from photoqual.labels.splits import frozen_digest, read_frozen, reduced_from, split
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog, read_rows
from photoqual.photos.forgotten import Entry, Forgotten, add_entries, key_digest, read_entries, read_forgotten
from photoqual.photos.history import read_history, write_history
from photoqual.photos.named import find_named, read_names
from photoqual.photos.parts import digest
from photoqual.photos.removal import remove, shard_files, shard_rows
from photoqual.photos.shards import read_photos
from photoqual.pipeline.forget import forget
from photoqual.pipeline.trained import Splits
from photoqual.registry import journal
from photoqual.registry.journal import Entry as Written
from photoqual.registry.looks import pairs
from photoqual.sources.refresh import refresh
from tests.conftest import NOW, PROJECT, encoded, scene
from tests.long import times
from tests.system.toy import commit, run

PHOTOS = 40
DVC_YAML = """
stages:
  refresh:
    cmd: python -m photoqual refresh
    deps: [data/forgotten.jsonl]
    params: [sources]
    outs:
      - data/photos: {persist: true}
      - data/votes: {persist: true}
      - data/catalog: {persist: true}
  label:
    cmd: python -m photoqual label
    deps: [data/catalog]
    params: [labels]
    outs: [data/labels.parquet]
  split:
    cmd: python -m photoqual split
    deps: [data/catalog, data/forgotten.jsonl, data/labels.parquet]
    params: [split]
    outs:
      - data/splits.parquet
      - data/frozen_test.parquet: {persist: true}
  train:
    cmd: python -c "print('trained')" > models/challenger
    deps: [params.yaml]
    outs: [models/challenger]
  evaluate:
    cmd: echo
    deps: [data/frozen_test.parquet]
    outs: [reports/evaluation/predictions.parquet, reports/evaluation/plots]
    metrics: [reports/evaluation/metrics.json]
"""


def photo(index: int) -> bytes:
    return encoded(ImageEnhance.Brightness(scene(index)).enhance(1.1 if index % 2 else 0.5), "PNG")


def fill(root: Path) -> Layout:
    """Make a project with photos in folders, refreshed, labelled and split, a vote history and reports."""
    layout = Layout(root / "project")
    for index in range(PHOTOS):
        path = layout.root / "photos" / ("good" if index % 2 else "bad") / f"trip-{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(index))
    values = yaml.safe_load((PROJECT / "params.yaml").read_text())
    values |= {"sources": {"mine": {"kind": "folders", "path": "photos", "good": ["good"], "bad": ["bad"]}}}
    values["labels"] |= {"rule": "folders"}
    layout.params.write_text(yaml.safe_dump(values))
    params = load_params(layout.params)
    refresh(layout, params)
    label(layout, params)
    split(layout, params)
    rows = read_rows(layout.catalog, ["source", "source_key"])
    votes = {"votes_count": pa.array([3] * len(rows)), "votes_mean": pa.array([4.0] * len(rows))}
    for name, values in votes.items():
        rows = rows.append_column(name, values)
    write_history(layout.votes, rows, NOW)
    layout.forgotten.write_text("")
    (layout.evaluation / "plots").mkdir(parents=True)
    (layout.evaluation / "plots/best.png").write_bytes(b"a grid of photos")
    (layout.evaluation / "metrics.json").write_text("{}")
    read_frozen(layout.frozen_test).to_parquet(layout.predictions)
    (layout.root / "models").mkdir()
    (layout.root / "models/challenger").write_text("trained\n")
    return layout


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("filled")).root.parent


@pytest.fixture
def layout(tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A copy of the project, without git and DVC."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(filled, tmp_path / "copy")
    return Layout(tmp_path / "copy/project")


@pytest.fixture(scope="module")
def versioned(tmp_path_factory: pytest.TempPathFactory, filled: Path) -> Iterator[Path]:
    """The project in git and DVC, all of it pushed to a store beside it."""
    top = tmp_path_factory.mktemp("versioned")
    shutil.copytree(filled, top, dirs_exist_ok=True)
    root = top / "project"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("DVC_GLOBAL_CONFIG_DIR", str(top / "dvc"))
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        (root / "dvc.yaml").write_text(DVC_YAML)
        (root / ".gitignore").write_text("/photos\n/mlflow.db\n/mlartifacts\n")
        run("git", "init", "--quiet", "--initial-branch=main", cwd=root)
        (root / ".dvc").mkdir()
        (root / ".dvc/config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = ../../store\n")
        (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
        dvc(root, "commit", "--force")
        dvc(root, "push")
        commit(root, "First data")
        yield top


@pytest.fixture
def project(tmp_path: Path, versioned: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(versioned, tmp_path / "copy", symlinks=True)
    return Layout(tmp_path / "copy/project")


def dvc(root: Path, *arguments: str) -> None:
    """Run a command of DVC's in this process."""
    from dvc.cli import main as command

    with contextlib.chdir(root):
        assert command([*arguments, "--quiet"]) == 0


def status(root: Path) -> dict[str, Any]:
    """Return what DVC says has changed, by stage."""
    from dvc.repo import Repo

    with contextlib.chdir(root), Repo() as repo:
        return dict(repo.status())


def params_of(layout: Layout) -> Params:
    return load_params(layout.params)


def row_of(layout: Layout, part: str) -> Any:
    """Return the catalog row of the first photo in a part of the split."""
    splits = pd.read_parquet(layout.splits)
    catalog = read_catalog(layout.catalog)
    return catalog[catalog["photo_id"] == splits.loc[splits["split"] == part, "photo_id"].iloc[0]].iloc[0]


def working_copy(layout: Layout, row: Any) -> bytes:
    return next(read_photos(layout.photos, pd.DataFrame([row])))[1]


def holding(folder: Path, needle: bytes) -> list[str]:
    """Return the files under a folder, links and caches included, that hold some bytes."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


def test_a_forgotten_photo_is_in_no_file_of_the_project_and_all_others_are_as_they_were(layout: Layout) -> None:
    row = row_of(layout, "test")
    jpeg, photo_id = working_copy(layout, row), row["photo_id"]
    before = dict(read_photos(layout.photos, read_catalog(layout.catalog)))
    digest = frozen_digest(read_frozen(layout.frozen_test))
    (layout.root / "reports/watch").mkdir()
    (layout.root / "reports/watch/index.html").write_text(f"<img alt='Photo {photo_id[:12]}'>")
    (layout.root / "reports/watch/other.html").write_text("<p>nobody</p>")
    shutil.rmtree(layout.root / "photos")
    assert holding(layout.root, jpeg)
    dry = forget(layout, [photo_id])
    assert holding(layout.root, jpeg)
    assert dry["would_remove"]["frozen_photos"] == 1
    told = forget(layout, [photo_id], reason="asked by its author", by="ada", dry_run=False)
    gone = told["removed"]
    assert {name: gone[name] for name in dry["would_remove"]} == dry["would_remove"]
    assert (gone["copies"], gone["catalog_rows"], gone["votes_rows"]) == (1, 1, 1)
    assert (gone["label_rows"], gone["split_rows"], gone["frozen_photos"]) == (1, 1, 1)
    assert holding(layout.root, jpeg) == []
    assert holding(layout.root, row["source_key"].encode()) == []
    assert len(read_history(layout.votes)) == PHOTOS - 1
    assert [Path(path).name for path in holding(layout.root, photo_id.encode())] == [layout.forgotten.name]
    assert photo_id not in set(pd.read_parquet(layout.predictions)["photo_id"])
    assert list((layout.evaluation / "plots").iterdir()) == []
    assert layout.metrics.exists()
    assert [path.name for path in (layout.root / "reports/watch").iterdir()] == ["other.html"]
    catalog = read_catalog(layout.catalog)
    assert dict(read_photos(layout.photos, catalog)) == {
        name: data for name, data in before.items() if name != photo_id
    }
    assert dict(read_photos(layout.photos, read_frozen(layout.frozen_test)))
    assert reduced_from(layout.frozen_test) == [digest]
    assert gone["frozen_test_digest"] == {
        "before": digest,
        "after": frozen_digest(read_frozen(layout.frozen_test)),
    }
    [entry] = read_entries(layout.forgotten)
    assert (entry.photo, entry.by, entry.reason) == (photo_id, "ada", "asked by its author")
    assert told["models"]["registry"] is None
    assert "no model registry" in told["models"]["why"]
    again = forget(layout, [photo_id], reason="again", dry_run=False)
    assert read_entries(layout.forgotten) == [entry]
    assert again["not_found"] == []


def test_it_does_not_come_back_by_its_bytes_nor_by_its_place(layout: Layout) -> None:
    row = row_of(layout, "train")
    source = layout.root / "photos" / row["source_key"]
    forget(layout, [f"mine:{row['source_key']}"], reason="x", dry_run=False)
    catalog = read_catalog(layout.catalog)
    summary = refresh(layout, params_of(layout))
    assert summary["sources"]["mine"]["skipped"] == {"forgotten": 1}
    assert read_catalog(layout.catalog).equals(catalog)
    (source.parent / "another name.png").write_bytes(source.read_bytes())
    source.write_bytes(photo(PHOTOS + 1))
    summary = refresh(layout, params_of(layout))
    assert summary["sources"]["mine"]["skipped"] == {"forgotten": 2}
    assert set(read_catalog(layout.catalog)["source_key"]) == set(catalog["source_key"])


def test_the_file_of_a_forgotten_place_is_not_even_opened(layout: Layout) -> None:
    row = row_of(layout, "train")
    forget(layout, [row["photo_id"]], reason="x", dry_run=False)
    source = layout.root / "photos" / row["source_key"]
    before = source.stat().st_atime_ns
    os.utime(source, ns=(0, source.stat().st_mtime_ns))
    refresh(layout, params_of(layout))
    assert (source.stat().st_atime_ns, before > 0) == (0, True)


def test_a_clone_that_has_only_the_list_forgets_with_its_next_refresh_and_split(layout: Layout, tmp_path: Path) -> None:
    row = row_of(layout, "test")
    jpeg = working_copy(layout, row)
    shutil.copytree(layout.root, tmp_path / "clone")
    clone = Layout(tmp_path / "clone")
    forget(layout, [row["photo_id"]], reason="x", dry_run=False)
    shutil.copy(layout.forgotten, clone.forgotten)
    params = params_of(clone)
    assert refresh(clone, params)["forgotten_removed"] == 2
    assert holding(clone.root / "data/photos", jpeg) == []
    label(clone, params)
    told = split(clone, params)
    assert told["frozen"] == "kept without 1 forgotten photo(s)"
    assert told["frozen_digest"] == frozen_digest(read_frozen(layout.frozen_test))
    assert split(clone, params)["frozen"] == "kept"
    assert digest(clone.catalog) == digest(layout.catalog)
    assert clone.frozen_test.read_bytes() == layout.frozen_test.read_bytes()
    assert [path.read_bytes() for path in shard_files(clone.photos)] == [
        path.read_bytes() for path in shard_files(layout.photos)
    ]


def test_after_it_dvc_is_consistent_and_old_versions_can_be_removed_from_the_store(project: Layout) -> None:
    root, store = project.root, project.root.parent / "store"
    row = row_of(project, "test")
    jpeg = working_copy(project, row)
    assert holding(store, jpeg)
    told = forget(project, [row["photo_id"]], reason="x", dry_run=False)
    assert told["removed"]["reports"] == ["reports/evaluation/plots/best.png"]
    assert set(status(root)) == {"label", "split", "evaluate"}
    assert run("git", "status", "--porcelain", cwd=root).split() == ["M", "data/forgotten.jsonl", "M", "dvc.lock"]
    dvc(root, "checkout")
    assert holding(root / "data", jpeg) == []
    labels, splits = read_labels(project), pd.read_parquet(project.splits)
    label(project, params_of(project))
    split(project, params_of(project))
    assert read_labels(project).equals(labels)
    assert set(pd.read_parquet(project.splits)["photo_id"]) == set(splits["photo_id"])
    dvc(root, "commit", "--force", "label", "split")
    commit(root, "Forgotten")
    dvc(root, "push")
    assert holding(store, jpeg)
    dvc(root, "gc", "--all-branches", "--cloud", "--force")
    assert holding(store, jpeg) == []
    assert holding(root / ".dvc", jpeg) == []
    clone = Layout(root.parent / "other")
    run("git", "clone", "--quiet", str(root), str(clone.root), cwd=root)
    dvc(clone.root, "pull")
    assert len(dict(read_photos(clone.photos, read_catalog(clone.catalog)))) == PHOTOS - 1


def test_a_stage_that_was_due_stays_due(project: Layout) -> None:
    values = yaml.safe_load(project.params.read_text())
    values["sources"]["more"] = {"kind": "folders", "path": "more"}
    project.params.write_text(yaml.safe_dump(values))
    forget(project, [row_of(project, "train")["photo_id"]], reason="x", dry_run=False)
    [changed] = status(project.root)["refresh"]
    assert changed == {"changed deps": {"params.yaml": {"sources": "modified"}}}


def test_the_splits_of_an_earlier_revision_are_read_through_dvc(project: Layout) -> None:
    revision = run("git", "rev-parse", "HEAD", cwd=project.root)
    project.splits.unlink()
    splits = Splits(project.root)
    parts, why = splits.at(revision)
    assert (set(parts or {}) and why) == ""
    assert set((parts or {}).values()) >= {"train", "validation", "test"}
    for unknown, said in ((None, "names no commit"), ("b" * 40, "not in this clone")):
        found, why = splits.at(unknown)
        assert found is None
        assert said in why


def test_without_all_of_the_data_or_while_dvc_works_on_it_nothing_is_done(project: Layout) -> None:
    name = row_of(project, "train")["photo_id"]
    held = {"pid": os.getpid(), "cmd": "dvc repro"}
    lock = project.root / ".dvc/tmp/rwlock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(json.dumps({"write": {str((project.root / "data/photos").resolve()): held}, "read": {}}))
    with pytest.raises(PipelineError, match="at work on the data: dvc repro"):
        forget(project, [name], reason="x", dry_run=False)
    lock.unlink()
    shutil.rmtree(project.photos / "mine")
    with pytest.raises(MissingData, match="dvc pull"):
        forget(project, [name], reason="x", dry_run=False)
    assert read_entries(project.forgotten) == []


KILLED = """
import os, signal, sys
from pathlib import Path
left, replace = int(sys.argv[2]), Path.replace
def counted(self, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = counted
from photoqual.layout import Layout
from photoqual.pipeline.forget import forget
from photoqual.pipeline.trained import Splits
forget(Layout(Path(sys.argv[1])), [sys.argv[3]], reason="x", dry_run=False)
"""


def test_killed_anywhere_it_is_finished_by_the_next_call(layout: Layout, tmp_path: Path) -> None:
    row = row_of(layout, "test")
    jpeg = working_copy(layout, row)
    shutil.rmtree(layout.root / "photos")
    whole = shutil.copytree(layout.root, tmp_path / "whole")
    forget(Layout(whole), [row["photo_id"]], reason="x", dry_run=False)
    for after in times([7], list(range(8))):
        killed = Layout(shutil.copytree(layout.root, tmp_path / f"killed-{after}"))
        command = [sys.executable, "-c", KILLED, str(killed.root), str(after), row["photo_id"]]
        assert subprocess.run(command, cwd=PROJECT, check=False).returncode == -signal.SIGKILL
        forget(killed, [row["photo_id"]], reason="x", dry_run=False)
        assert holding(killed.root, jpeg) == []
        whole_files = (killed.labels, killed.splits, killed.frozen_test)
        for path in (*sorted(killed.catalog.iterdir()), *whole_files, *shard_files(killed.photos)):
            assert path.read_bytes() == (whole / path.relative_to(killed.root)).read_bytes(), (after, path)


def test_a_photo_is_named_by_id_its_first_digits_or_its_place(layout: Layout, tmp_path: Path) -> None:
    rows = read_catalog(layout.catalog)
    ids = rows["photo_id"].tolist()
    file = tmp_path / "list.txt"
    file.write_text(f"\ufeff# as asked on Monday\n\n{ids[0]}\n  {ids[1][:12]}  \r\nmine:{rows['source_key'][2]}\n")
    named = find_named(layout, read_names(file), Forgotten())
    assert named.ids == set(ids[:3])
    assert sum(map(len, named.photos.values())) == 3
    unknown = "f" * 64
    assert find_named(layout, [unknown], Forgotten()).not_found == (unknown,)
    forget(layout, [unknown], reason="never to come", dry_run=False)
    assert read_forgotten(layout.forgotten).photos == {unknown}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("0123", "is no photo id"),
        ("../../etc/passwd", "is no photo id"),
        ("ffffffff", "begins the ids of 0 photos"),
        ("mine:nowhere.png", "is no place"),
        ("other:good/trip-001.png", "is no place"),
        ("F" * 64, "is no photo id"),
        ("\u202e\n", "is no photo id"),
        ("", "is no photo id"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused_and_nothing_is_done(layout: Layout, name: str, said: str) -> None:
    good = read_catalog(layout.catalog)["photo_id"][0]
    with pytest.raises(DataError, match=said) as raised:
        forget(layout, [good, name], reason="x", dry_run=False)
    assert "\u202e" not in str(raised.value)
    assert read_entries(layout.forgotten) == []
    assert good in set(read_catalog(layout.catalog)["photo_id"])


def test_digits_that_begin_several_ids_are_refused(layout: Layout) -> None:
    catalog = read_catalog(layout.catalog)
    path = shard_files(layout.photos)[0]
    table = pq.read_table(path)
    ids = [f"{0:08d}{name[8:]}" for name in table["photo_id"].to_pylist()]
    pq.write_table(table.set_column(0, "photo_id", pa.array(ids)), path)
    with pytest.raises(DataError, match=f"00000000 begins the ids of {len(catalog)} photos"):
        find_named(layout, ["00000000"], Forgotten())


def test_what_a_place_showed_before_goes_too_and_a_place_with_another_photo_stays(layout: Layout) -> None:
    row = row_of(layout, "train")
    place, old = row["source_key"], row["photo_id"]
    path = layout.root / "photos" / place
    path.write_bytes(photo(PHOTOS + 5))
    refresh(layout, params_of(layout))
    jpegs = [
        dict(zip(table["photo_id"].to_pylist(), (image["bytes"] for image in table["image"].to_pylist()), strict=True))
        for table in map(pq.read_table, shard_files(layout.photos))
    ]
    new = read_catalog(layout.catalog).set_index("source_key").loc[place, "photo_id"]
    assert old != new
    by_id = find_named(layout, [old], Forgotten())
    assert by_id.ids == {old}
    assert by_id.replaced == (("mine", place),)
    assert remove(layout, by_id.forgotten, dry_run=True).catalog_rows == 0
    by_place = find_named(layout, [f"mine:{place}"], Forgotten())
    assert by_place.ids == {old, new}
    forget(layout, [f"mine:{place}"], reason="x", dry_run=False)
    shutil.rmtree(layout.root / "photos")
    for found in jpegs:
        for photo_id in {old, new} & set(found):
            assert holding(layout.root, found[photo_id]) == []


def test_a_shard_with_nothing_left_in_it_is_removed(layout: Layout) -> None:
    names = read_catalog(layout.catalog)["photo_id"].tolist()
    forgotten = Forgotten(frozenset(names), frozenset())
    assert remove(layout, forgotten).copies == PHOTOS
    assert shard_files(layout.photos) == []
    assert len(read_catalog(layout.catalog)) == 0
    assert list(layout.votes.rglob("*.parquet")) == []


def test_an_emptied_row_keeps_the_places_of_the_others_across_row_groups(layout: Layout) -> None:
    path = shard_files(layout.photos)[0]
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table] * 4), path, row_group_size=64, compression="none")
    rows = shard_rows(path)
    going = [0, 39, 63, 64, 159]
    ids = [f"{index:064x}" for index in range(len(rows))]
    changed = pq.read_table(path)
    pq.write_table(changed.set_column(0, "photo_id", pa.array(ids)), path, row_group_size=64, compression="none")
    remove(layout, Forgotten(frozenset(ids[index] for index in going)))
    after = pq.read_table(path)
    assert [name for name in after["photo_id"].to_pylist() if name] == [
        name for index, name in enumerate(ids) if index not in going
    ]
    assert [index for index, name in enumerate(after["photo_id"].to_pylist()) if name is None] == going
    assert all(after[column][39].as_py() is None for column in after.schema.names)
    assert after.schema.equals(changed.schema, check_metadata=True)


def test_photos_that_look_the_same_are_named(layout: Layout) -> None:
    row = row_of(layout, "train")
    source = layout.root / "photos" / row["source_key"]
    (source.parent / "smaller.png").write_bytes(source.read_bytes() + b"\0")
    refresh(layout, params_of(layout))
    told = forget(layout, [row["photo_id"]])
    assert [photo["place"].split("/")[-1] for photo in told["alike"]] == ["smaller.png"]


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        '{"photo": null, "keys": [], "at": "", "by": "", "reason": ""}',
        '{"photo": "../x", "keys": [], "at": "", "by": "", "reason": ""}',
        f'{{"photo": "{"a" * 64}", "keys": "{"b" * 64}", "at": "", "by": "", "reason": ""}}',
        f'{{"photo": "{"a" * 64}", "keys": [7], "at": "", "by": "", "reason": ""}}',
        f'{{"photo": "{"a" * 64}", "keys": []}}',
        "<<<<<<< HEAD",
        "\udcff",
    ],
)
def test_a_damaged_list_stops_everything(layout: Layout, line: str) -> None:
    add_entries(layout.forgotten, [Entry("c" * 64, (), "2026-01-01", "ada", "x")])
    with layout.forgotten.open("ab") as file:
        file.write(line.encode(errors="surrogateescape") + b"\n")
    before = layout.forgotten.read_bytes()
    for call in (
        lambda: refresh(layout, params_of(layout)),
        lambda: split(layout, params_of(layout)),
        lambda: forget(layout, ["d" * 64], reason="x", dry_run=False),
    ):
        with pytest.raises(DataError, match="nothing says any more which photo must not come back"):
            call()
    assert layout.forgotten.read_bytes() == before


def test_the_list_holds_digests_and_survives_odd_text(tmp_path: Path) -> None:
    path = tmp_path / "forgotten.jsonl"
    entries = [
        Entry("a" * 64, (key_digest("s", "good/Ada at home.jpg"),), "2026-01-01", "ada", "line\nbreak \u2028 \u202e"),
        Entry(None, (key_digest("s", "\udcff"), key_digest("s", "x" * 4000)), "2026-01-02", "bob", ""),
    ]
    for entry in entries:
        add_entries(path, [entry])
    assert read_entries(path) == entries
    assert b"Ada" not in path.read_bytes()
    listed = read_forgotten(path)
    assert listed.is_forgotten("s", "good/Ada at home.jpg")
    assert listed.is_forgotten("s", "elsewhere", "a" * 64)
    assert not listed.is_forgotten("t", "good/Ada at home.jpg")
    assert not listed.is_forgotten("s", "elsewhere")


def test_a_reduced_frozen_set_is_as_worn_as_the_one_it_is_left_of() -> None:
    def judged(number: int, champion: str, version: str, digest: str, *before: str) -> Written:
        facts = {"frozen_test_digest": digest, "counted": True, **({"reduced_from": list(before)} if before else {})}
        return Written(number, journal.JUDGED, "", "", version, champion, None, "", facts)

    written = [judged(1, "1", "2", "old"), judged(2, "1", "3", "old"), judged(3, "1", "4", "another")]
    assert len(pairs(written, "old")) == 2
    written += [judged(4, "1", "3", "new", "old"), judged(5, "1", "5", "new", "old")]
    assert pairs(written, "new") == [("1", "2"), ("1", "3"), ("1", "5")]
    written += [judged(6, "1", "6", "newer", "old", "new")]
    assert len(pairs(written, "newer")) == 4
    assert len(pairs(written, "old")) == 2


def test_the_command_is_a_dry_run_until_told_otherwise(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = read_catalog(layout.catalog)
    (tmp_path / "list").write_text(rows["photo_id"][0] + "\n")
    monkeypatch.chdir(layout.root)

    def photoqual(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["photoqual", "forget", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    code, said, _ = photoqual("--from", str(tmp_path / "list"), rows["photo_id"][1])
    assert (code, json.loads(said)["would_remove"]["catalog_rows"]) == (0, 2)
    code, _, complaint = photoqual(rows["photo_id"][1], "--yes")
    assert code == 2
    assert "--reason" in complaint
    assert len(read_catalog(layout.catalog)) == PHOTOS
    code, said, _ = photoqual("--from", str(tmp_path / "list"), "--yes", "--reason", "asked")
    assert (code, json.loads(said)["removed"]["catalog_rows"]) == (0, 1)
    assert len(read_catalog(layout.catalog)) == PHOTOS - 1


def test_nothing_named_is_an_error(layout: Layout) -> None:
    with pytest.raises(ConfigError, match="No photo was named"):
        forget(layout, [])
