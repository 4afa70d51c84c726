"""watch_champion: score the newest labelled photos with the champion; an alarm asks for a training."""

from airflow.sdk import dag

from photoqual.pipeline import tasks
from photoqual.settings import Settings

DOC = """
### Watch the champion

`watch` scores the labelled photos that came after the champion's training, takes the AUC against their votes, and
compares scores and measures with those of then. The numbers are kept in MLflow, experiment `photoqual-watch`, one run a
watch, each with a page of pictures. `alarm` emits the asset `drift` where a threshold of `watch` in params.yaml is
crossed beyond chance; `retrain` runs on it.

Branch `data` and the champion are read and never changed. What is measured: docs/how-to/watching.md.
"""


@dag(
    dag_display_name="Watch the champion",
    description="Score the newest photos with the champion; an alarm asks for a training",
    doc_md=DOC,
    schedule=Settings().watch_cron or None,
    **tasks.DAG_ARGS,
)
def watch_champion() -> None:
    tasks.alarm(tasks.watch())


watch_champion()
