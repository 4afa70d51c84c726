"""A corpus of mutated images: no crash, memory bounded, each accepted as a correct photo or refused with its reason."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.data.hostile_images import BOMBS, CHANGES, LIMITS, REASONS, Hostile, hostile, judge, photo, saved, seeds
from tests.long import times

COUNT = times(150, 1200)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    """What became of the corpus, decoded by a process of its own."""
    command = [sys.executable, "-m", "tests.data.hostile_images", "0", str(COUNT)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, f"decoding ended with {done.returncode} at:\n{done.stderr[-1000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    print(table(found))
    return found


def table(found: dict[str, Any]) -> str:
    """Return the counts as a table in Markdown: a row per change, a column per outcome."""
    outcomes: dict[str, dict[str, int]] = found["outcomes"]
    columns = ["accepted", *sorted(REASONS & {reason for counts in outcomes.values() for reason in counts})]
    rows = [
        [change, sum(counts.values()), *(counts.get(column, 0) for column in columns)]
        for change, counts in outcomes.items()
    ]
    rows.append(["all", *(sum(row[place] for row in rows) for place in range(1, len(columns) + 2))])
    lines = [["change", "images", *columns], ["---"] * (len(columns) + 2), *rows]
    most = (
        f"At most {found['most_megabytes'][0]} MB and {found['slowest_seconds'][0]} s of processor time for one image."
    )
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + f"\n\n{most}"


def test_no_image_is_taken_for_what_it_is_not(result: dict[str, Any]) -> None:
    assert result["problems"] == []


def test_every_image_has_an_outcome_and_every_change_was_tried(result: dict[str, Any]) -> None:
    outcomes: dict[str, dict[str, int]] = result["outcomes"]
    assert sum(sum(counts.values()) for counts in outcomes.values()) == COUNT
    assert set(outcomes) == {"as it is", *CHANGES}
    assert {reason for counts in outcomes.values() for reason in counts} <= {"accepted", *REASONS}
    assert {"accepted", "broken", "not_an_image", "too_many_pixels", "truncated"} <= {
        reason for counts in outcomes.values() for reason in counts
    }


def test_memory_and_time_are_bounded(result: dict[str, Any]) -> None:
    assert result["most_megabytes"][0] < 20 * LIMITS.max_megapixels
    assert result["slowest_seconds"][0] < 10


@pytest.mark.parametrize("kind", BOMBS)
def test_every_kind_of_bomb_can_be_made_and_is_judged(kind: str) -> None:
    for side in (4000, 65_535):
        outcome, wrong = judge(Hostile(kind, "bomb", BOMBS[kind](side), shows=None))
        assert wrong is None
        assert outcome != "accepted" or kind == "PNG too many rows"


def test_the_judge_sees_a_photo_that_is_wrong() -> None:
    whole = seeds()[0]
    upside_down = saved(photo().rotate(180), "JPEG")
    other_size = saved(photo((120, 160)), "PNG")
    for data, says in ((upside_down, "its corners"), (other_size, "its size"), (b"no photo", "was refused")):
        outcome, wrong = judge(Hostile("JPEG", "as it is", data))
        assert wrong is not None
        assert says in wrong, outcome
    assert judge(whole) == ("accepted", None)


def test_the_corpus_is_the_same_each_time() -> None:
    numbers = (0, 60, 71, 85)
    assert [hostile(number).data for number in numbers] == [hostile(number).data for number in numbers]
