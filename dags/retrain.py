"""retrain: train a challenger on branch `data`, judge it on the frozen test set, promote it on evidence."""

from pathlib import Path
from typing import get_args

from airflow.sdk import Param, dag

from photoqual.config import ModelParams
from photoqual.pipeline import tasks

STAGES = tasks.stages(Path(__file__).parents[1] / "dvc.yaml")
KINDS = get_args(ModelParams.model_fields["kind"].annotation)

DOC = """
### Train again

Runs by itself when `refresh_photos` brought something new, or by hand. Stages that are up to date are skipped in
seconds. `train` waits for a worker of queue `gpu` and a slot of pool `gpu`. `promote` scores champion and challenger
on the same frozen photos; its log and the model version in MLflow carry the verdict with its numbers.

What is chosen in the form holds for this run only; lasting changes belong into params.yaml on branch `main`.
"""


@dag(
    dag_display_name="Retrain",
    description="Train a challenger, judge it on the frozen test set, promote it on evidence",
    doc_md=DOC,
    schedule=[tasks.PHOTOS],
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
            description_md="Train again and judge the result.",
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
    opened = tasks.open_run(overrides={"model.kind": "model_kind", "train.epochs": "epochs"})
    revision = opened
    for stage in STAGES.values():
        if stage.name != "refresh":
            revision = tasks.run_stage(stage, revision, force="force" if stage.name == "train" else False)
    verdict = tasks.promote(revision, tasks.register(opened, revision))
    tasks.close_run(revision, after=[verdict])


retrain()
