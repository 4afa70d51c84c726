"""dvc.yaml as stages: order, operator arguments, refusals."""

from pathlib import Path

import pytest

from photoqual.errors import ConfigError
from photoqual.pipeline.stages import Stage, covering, makers, parse_stages, read_stages

ROOT = Path(__file__).parents[2]


def test_our_own_pipeline_reads_in_the_order_of_the_datas_way() -> None:
    stages = read_stages(ROOT / "dvc.yaml")
    assert [stage.name for stage in stages] == ["refresh", "label", "validate", "split", "train", "evaluate"]
    assert all(stage.desc and stage.execution_timeout_minutes for stage in stages)
    by_name = {stage.name: stage for stage in stages}
    assert by_name["refresh"].persist_outs == ("data/photos", "data/catalog", "data/votes")
    assert (by_name["train"].queue, by_name["train"].pool) == ("gpu", "gpu")
    assert (by_name["label"].queue, by_name["label"].pool) == ("default", "default_pool")
    assert "reports/evaluation/metrics.json" in by_name["evaluate"].outs
    assert "reports/evaluation/roc.csv" in by_name["evaluate"].outs
    assert {maker.name for maker in makers(by_name["evaluate"], stages)} == {"label", "refresh", "split", "train"}


def test_every_field_is_read() -> None:
    body = {
        "desc": "Learn",
        "cmd": "python -m photoqual train",
        "deps": ["data/in/", "code"],
        "params": ["model", {"other.yaml": ["a", "b"]}],
        "outs": ["models", {"state": {"persist": True}}, {"data/kept": {"persist": False}}],
        "metrics": [{"metrics.json": {"cache": False}}],
        "meta": {"airflow": {"queue": "gpu", "pool": "big", "retries": 2, "execution_timeout_minutes": 7}},
    }
    assert parse_stages({"stages": {"train": body}}) == (
        Stage(
            name="train",
            desc="Learn",
            deps=("data/in", "code"),
            outs=("models", "state", "data/kept", "metrics.json"),
            persist_outs=("state",),
            params=("model", "other.yaml:a", "other.yaml:b"),
            queue="gpu",
            pool="big",
            retries=2,
            execution_timeout_minutes=7,
        ),
    )


def test_order_follows_what_feeds_what_not_the_file() -> None:
    stages = {
        "last": {"cmd": "c", "deps": ["b/part"]},
        "middle": {"cmd": "c", "deps": ["a"], "outs": ["b"]},
        "first": {"cmd": "c", "outs": ["a"]},
    }
    assert [stage.name for stage in parse_stages({"stages": stages})] == ["first", "middle", "last"]


@pytest.mark.parametrize(
    ("wanted", "outs", "found"),
    [
        (["reports/evaluation"], ["reports/evaluation/roc.csv", "reports/validation"], ["reports/evaluation/roc.csv"]),
        (["data/photos/site"], ["data/photos"], ["data/photos"]),
        (["data/photo"], ["data/photos"], []),
        ([], ["data/photos"], []),
    ],
)
def test_covering_goes_by_whole_folders(wanted: list[str], outs: list[str], found: list[str]) -> None:
    assert covering(wanted, outs) == found


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ({"a": {"cmd": "c", "meta": {"airflow": {"que": "gpu"}}}}, "unknown key in meta.airflow: que"),
        ({"a": {"cmd": "c", "meta": {"airflow": {"retries": "2"}}}}, "retries is '2'"),
        ({"a": {"cmd": "c", "meta": {"airflow": {"retries": -1}}}}, "retries is -1"),
        ({"a": {"cmd": "c", "meta": {"airflow": {"retries": True}}}}, "retries is True"),
        ({"a": {"cmd": "c", "deps": ["x"], "outs": ["y"]}, "b": {"cmd": "c", "deps": ["y"], "outs": ["x"]}}, "circle"),
        ({"a": {"foreach": [1], "do": {"cmd": "c"}}}, "not a plain stage"),
        ({"a": {"cmd": "c", "outs": ["${x}.txt"]}}, r"\$\{…\}"),
        ({}, "names no stages"),
        (None, "names no stages"),
    ],
)
def test_what_cannot_become_a_task_is_refused(stages: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_stages({"stages": stages})


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_stages(tmp_path / "dvc.yaml")
    (tmp_path / "dvc.yaml").write_text("stages: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_stages(tmp_path / "dvc.yaml")
