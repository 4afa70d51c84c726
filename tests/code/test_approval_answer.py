"""What a person answers in Airflow becomes a verb of photoqual."""

from typing import Any

import pytest

from photoqual.pipeline.approval import answered


@pytest.mark.parametrize(
    ("answer", "verb"),
    [
        (
            {
                "chosen_options": ["Approve"],
                "params_input": {"reason": " sharp "},
                "responded_by_user": {"name": "ada"},
            },
            ["approve", "7", "--reason", "sharp", "--by", "ada"],
        ),
        (
            {"chosen_options": ["Approve"], "params_input": {}, "responded_by_user": {"id": "1", "name": ""}},
            ["approve", "7", "--reason", "approved in Airflow", "--by", "1"],
        ),
        (
            {"chosen_options": ["Reject"], "params_input": None, "responded_by_user": None},
            ["reject", "7", "--reason", "rejected in Airflow, or not answered in time", "--by", "nobody"],
        ),
    ],
)
def test_answer(answer: dict[str, Any], verb: list[str]) -> None:
    assert answered(answer, "7") == verb
