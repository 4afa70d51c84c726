"""rate_gallery: rate a gallery of any size on all workers, into one file."""

from airflow.sdk import Param, dag

from photoqual.pipeline import gallery, tasks

DOC = """
### Rate a gallery

`plan` lists the photos and pins the version of the model, `rate` runs once per part on whatever workers serve the
queue, at most as many at a time as pool `rating` has slots, `merge` writes one file and, beside it, a list of what was
skipped with the reasons. A part that was rated is not rated again: clear failed tasks to go on.

With several machines, photos and output have to lie where all workers reach them, such as in a bucket. The keys come
from the environment of the workers, never from this form.
"""


@dag(
    dag_display_name="Rate a gallery",
    description="Rate all photos of a folder or bucket on all workers, into one file",
    doc_md=DOC,
    schedule=None,
    params={
        "uri": Param(
            "s3://photos/2026/",
            type="string",
            minLength=1,
            title="Photos",
            description_md="A folder that all workers see, or `s3://BUCKET/PREFIX`.",
        ),
        "output": Param(
            "s3://photos/ratings.parquet",
            type="string",
            minLength=1,
            title="Output",
            description_md="The file to write: a path that all workers see, or `s3://BUCKET/KEY`.",
        ),
        "format": Param("parquet", type="string", enum=["parquet", "json", "csv"], title="Format"),
        "model": Param(
            None,
            type=["null", "string"],
            title="Model",
            description_md="Such as `models:/photoqual/3`. Empty: the champion; without one, the starter.",
        ),
        "photos_per_task": Param(
            2000,
            type="integer",
            minimum=1,
            title="Photos per task",
            description_md="There can be 1,000 tasks: give each more photos where there are millions.",
        ),
    },
    **{**tasks.DAG_ARGS, "max_active_runs": 4},
)
def rate_gallery() -> None:
    gallery.clear(gallery.merge(gallery.rate(gallery.plan())))


rate_gallery()
