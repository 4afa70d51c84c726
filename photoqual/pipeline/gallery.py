"""A whole gallery rated by as many workers as there are, as Airflow tasks: plan, rate each part, merge.

The work of a run lies beside its output; XCom carries the numbers of parts alone. See rating/parts.py.
"""

import logging
from typing import Any

from airflow.sdk import get_current_context, task

from photoqual.pipeline.tasks import reasons, run_id

log = logging.getLogger(__name__)


def plan() -> Any:
    """Make the task that lists the photos at DAG param `uri` and returns the numbers of the parts."""

    @task(task_id="plan", doc_md="List the photos, pin the model's version, write down the parts.")
    def plans() -> list[int]:
        from photoqual.rating import parts

        params = get_current_context()["params"]
        with reasons():
            made = parts.plan(
                params["uri"],
                params["output"],
                run=run_id(),
                output_format=params["format"],
                model=params["model"],
                part_photos=params["photos_per_task"],
            )
        log.info("%d photos in %d parts, to be rated by %s", made.photos, made.parts, made.model)
        return list(range(made.parts))

    return plans()


def rate(planned: Any) -> Any:
    """Make the mapped task that rates each part; one that is rated already is done at once."""

    @task(
        task_id="rate", pool="rating", map_index_template="part {{ task.op_kwargs['part'] }}", doc_md="Rate one part."
    )
    def rates(part: int) -> dict[str, int]:
        from photoqual.rating import parts

        with reasons():
            counts = parts.rate_part(get_current_context()["params"]["output"], run_id(), part)
        log.info("part %d: %d rated, %d skipped", part, counts["rated"], counts["skipped"])
        return counts

    return rates.expand(part=planned)


def merge(rated: Any) -> Any:
    """Make the task that puts the parts together, once all are rated."""

    @task(task_id="merge", doc_md="Put the ratings of all parts into the output; list beside it what was skipped.")
    def merges(rated: list[dict[str, int]]) -> dict[str, Any]:
        from photoqual.rating import parts

        output = get_current_context()["params"]["output"]
        with reasons():
            told = parts.merge(output, run_id())
        log.info("%s: %d rated by %s, skipped: %s", output, told["rated"], told["model"], told["skipped"] or "none")
        return told

    return merges(rated)


def clear(merged: Any) -> Any:
    """Make the task that removes the work of the run."""

    @task(task_id="clear", doc_md="Remove the parts, which the output holds.")
    def clears(merged: dict[str, Any]) -> None:
        from photoqual.rating import parts

        with reasons():
            parts.clear(merged["output"], run_id())

    return clears(merged)
