"""refresh_photos: fetch what is new, label it, validate it; only good data reaches branch `data`."""

from pathlib import Path

from airflow.sdk import Param, dag

from photoqual.pipeline import tasks
from photoqual.settings import Settings

STAGES = tasks.stages(Path(__file__).parents[1] / "dvc.yaml")

DOC = """
### Refresh the photos

`open` starts a branch of this run, `refresh` asks every source for new photos and votes, `label` and `validate` check
what came. `close` advances branch `data` only if all of that went well; `announce` then triggers `retrain`, unless
nothing changed.

**When validation stops the run**: the last line of its log names the expectation and what was observed. Branch `data`
and the champion are as they were.
"""


@dag(
    dag_display_name="Refresh photos",
    description="Fetch new photos and votes, validate them, advance branch data",
    doc_md=DOC,
    schedule=Settings().refresh_cron or None,
    params={
        "limit": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="At most this many new photos",
            description_md="Empty: all that the sources have.",
        ),
        "force": Param(
            False, type="boolean", title="Retrain even if nothing is new", description_md="Emit the asset in any case."
        ),
    },
    **tasks.DAG_ARGS,
)
def refresh_photos() -> None:
    opened = tasks.open_run()
    fetched = tasks.run_stage(STAGES["refresh"], opened, force=True, environment={"PHOTOQUAL_REFRESH_LIMIT": "limit"})
    labelled = tasks.run_stage(STAGES["label"], fetched)
    validated = tasks.run_stage(STAGES["validate"], labelled)
    tasks.announce(opened, tasks.close_run(validated))


refresh_photos()
