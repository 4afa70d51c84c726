"""retrain: train a challenger on branch `data`, judge it on the frozen test set, promote it on evidence."""

from pathlib import Path
from typing import get_args

from airflow.sdk import Param, dag

from photoqual.config import ModelParams, load_params
from photoqual.pipeline import approval, tasks

PROJECT = Path(__file__).parents[1]
STAGES = tasks.stages(PROJECT / "dvc.yaml")
PROMOTION = load_params(PROJECT / "params.yaml").promote
OVERRIDES = {
    "model.kind": "model_kind",
    "train.epochs": "epochs",
    "promote.require_approval": "require_approval",
}
FORCED_BY = {"split": "freeze_next", "train": "force"}
VARIABLES = {"split": {"PHOTOQUAL_FREEZE_NEXT": "freeze_next"}}
KINDS = get_args(ModelParams.model_fields["kind"].annotation)

DOC = """
### Train again

Runs by itself when `refresh_photos` brought something new or `watch_champion` raised an alarm, or by hand. `due` looks
at what changed since the champion's data (labels, code, params, age, alarms) and ends the run where that is not worth
a training; its log says why. Stages that are up to date are skipped in seconds. `train` waits for a worker of queue
`gpu` and a slot of pool `gpu`. `promote` scores champion and challenger on the same frozen photos; its log and the
model version in MLflow carry the verdict with its numbers and a report page. Where `promote.require_approval` is on,
`approve` asks a person (Browse → Required Actions) and `conclude` carries out the answer.

What is chosen in the form holds for this run only; lasting changes belong into params.yaml on branch `main`.
"""


@dag(
    dag_display_name="Retrain",
    description="Train a challenger, judge it on the frozen test set, promote it on evidence",
    doc_md=DOC,
    schedule=(tasks.PHOTOS | tasks.DRIFT),
    params={
        "model_kind": Param(
            None,
            type=["null", "string"],
            enum=[None, *KINDS],
            title="Model",
            description_md="Empty: `model.kind` of params.yaml.",
        ),
        "epochs": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Epochs",
            description_md="Empty: `train.epochs` of params.yaml.",
        ),
        "force": Param(
            False,
            type="boolean",
            title="Train even if nothing changed",
            description_md="Train again and judge the result, whatever `due` finds.",
        ),
        "require_approval": Param(
            None,
            type=["null", "boolean"],
            enum=[None, True, False],
            title="Ask a person before promoting",
            description_md="Empty: `promote.require_approval` of params.yaml.",
        ),
        "freeze_next": Param(
            False,
            type="boolean",
            title="Start the next frozen test set",
            description_md="From photos that no registered model was trained on; the champion is judged anew on it.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description_md="Register and judge the challenger, but move no alias and leave branch `data` as it is.",
        ),
    },
    **tasks.DAG_ARGS,
)
def retrain() -> None:
    opened = tasks.open_run(overrides=OVERRIDES)
    revision = tasks.due(opened)
    for stage in STAGES.values():
        if stage.name != "refresh":
            revision = tasks.run_stage(
                stage, revision, force=FORCED_BY.get(stage.name, False), environment=VARIABLES.get(stage.name)
            )
    verdict = tasks.promote(revision, tasks.register(opened, revision))
    asked = approval.approve(verdict, PROMOTION.approval_hours)
    concluded = approval.conclude(revision, asked)
    tasks.close_run(revision, after=[verdict, concluded])


retrain()
