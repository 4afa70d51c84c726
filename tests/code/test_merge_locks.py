"""dvc.lock as values: merging two runs, what changed, whose input moved."""

import pytest

from photoqual.errors import DataBranchMoved, PipelineError
from photoqual.pipeline.environment import differences, pinned
from photoqual.pipeline.locks import changed, hashes, inputs_moved, merge_locks, parse_lock, render_lock
from photoqual.pipeline.stages import Stage


def lock(**stages: str) -> dict[str, object]:
    """Return a lock in which each stage made one out with the given content."""
    made = {name: {"cmd": name, "outs": [{"path": f"data/{name}", "md5": content}]} for name, content in stages.items()}
    return {"schema": "2.0", "stages": made}


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        ({}, {"a": "1"}, {}, {"a": "1"}),
        ({}, {}, {"a": "1"}, {"a": "1"}),
        ({"a": "1"}, {"a": "2"}, {"a": "1"}, {"a": "2"}),
        ({"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "2"}),
        ({"a": "1"}, {"a": "2"}, {"a": "2"}, {"a": "2"}),
        ({"a": "1", "b": "1"}, {"a": "2", "b": "1"}, {"a": "1", "b": "2"}, {"a": "2", "b": "2"}),
        ({"a": "1", "b": "1"}, {"a": "1"}, {"a": "1", "b": "1"}, {"a": "1"}),
        ({"a": "1"}, {"a": "1", "b": "1"}, {"a": "1", "c": "1"}, {"a": "1", "b": "1", "c": "1"}),
    ],
)
def test_a_stage_that_one_side_changed_comes_from_that_side(
    base: dict[str, str], ours: dict[str, str], theirs: dict[str, str], merged: dict[str, str]
) -> None:
    assert merge_locks(lock(**base), lock(**ours), lock(**theirs)) == lock(**merged)


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [({"a": "1"}, {"a": "2"}, {"a": "3"}), ({}, {"a": "1"}, {"a": "2"}), ({"a": "1"}, {"a": "2"}, {})],
)
def test_a_stage_that_both_changed_differently_is_no_merge(
    base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]
) -> None:
    with pytest.raises(DataBranchMoved, match="made a differently") as caught:
        merge_locks(lock(**base), lock(**ours), lock(**theirs))
    assert caught.value.details["stages"] == ["a"]


def test_empty_locks_merge() -> None:
    assert merge_locks({}, {}, {}) == {"schema": "2.0", "stages": {}}


def test_a_lock_reads_back_as_it_was_written() -> None:
    assert parse_lock(render_lock(lock(a="1", b="2"))) == lock(a="1", b="2")
    assert parse_lock("") == {}


@pytest.mark.parametrize("text", ["stages: [", "- a list"])
def test_a_broken_lock_is_named(text: str) -> None:
    with pytest.raises(PipelineError, match=r"dvc\.lock"):
        parse_lock(text)


def test_changed_names_outs_at_or_under_the_paths() -> None:
    before, after = lock(photos="1", labels="1"), lock(photos="2", labels="1", splits="1")
    assert changed(before, after, ["data"]) == ["data/photos", "data/splits"]
    assert changed(before, after, ["data/labels"]) == []
    assert hashes(after)["data/photos"] == "2"


def test_an_input_moved_if_its_maker_made_something_else() -> None:
    stage = Stage("label", deps=("data/photos", "code.py"), outs=("data/label",))
    values = lock(photos="1", label="1")
    values["stages"]["label"]["deps"] = [{"path": "data/photos", "md5": "1"}, {"path": "code.py", "md5": "c"}]  # type: ignore[index]
    assert not inputs_moved(values, stage)
    values["stages"]["photos"]["outs"][0]["md5"] = "2"  # type: ignore[index]
    assert inputs_moved(values, stage)
    assert inputs_moved(lock(photos="1"), stage)


LOCK_FILE = """
[[package]]
name = "photoqual"
version = "9"
source = { editable = "." }

[[package]]
name = "numpy"
version = "1.0"
source = { registry = "https://example.org/simple" }
resolution-markers = ["python_full_version < '3.12'"]

[[package]]
name = "numpy"
version = "2.0"
source = { registry = "https://example.org/simple" }

[[package]]
name = "only-in-lock"
version = "1"
source = { registry = "https://example.org/simple" }
"""


@pytest.mark.parametrize(
    ("here", "differing"),
    [
        ({"numpy": "1.0"}, []),
        ({"numpy": "2.0", "only-here": "3", "photoqual": "0.1"}, []),
        ({"numpy": "3.0"}, [("numpy", "3.0", ["1.0", "2.0"])]),
    ],
)
def test_any_pinned_version_of_a_package_is_right(here: dict[str, str], differing: list[object]) -> None:
    assert differences(pinned(LOCK_FILE), here) == differing
