"""Register a person's model as `photoqual-<profile>`, with alias `champion`. No photo and no file name goes there."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from photoqual.registry.logged import log_model
from photoqual.registry.store import CHAMPION, MODEL_NAME, connected, ensure_model, experiment_id

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPERIMENT = f"{MODEL_NAME}-taste"
RATINGS, BASE_DIGEST = "ratings_digest", "base_digest"
_SAME = (RATINGS, BASE_DIGEST, "photoqual")
"""Tags that make two registrations the same."""


def shown(address: str) -> str:
    """Return `address` as others may see it: of a folder its name alone, for where it lies is its owner's affair."""
    return address if address.startswith("models:") else Path(address).resolve().name


def register_profile(
    folder: Path, name: str, tags: "Mapping[str, str]", metrics: "Mapping[str, float]", description: str
) -> tuple[str, bool]:
    """Register the model in `folder` as the next version of `name` and move its alias; return the version and whether
    it is new. The same ratings on the same champion again give the version that exists.
    """
    import mlflow

    with connected(create=True) as client:
        ensure_model(client, name, "One person's taste: the champion corrected by their own ratings.")
        found = client.search_model_versions(f"name = '{name}' AND tag.{RATINGS} = '{tags[RATINGS]}'")
        same = [int(version.version) for version in found if all(version.tags.get(tag) == tags[tag] for tag in _SAME)]
        if same:
            version = str(max(same))
        else:
            with (
                warnings.catch_warnings(action="ignore", category=UserWarning),  # hints for models of other kinds
                mlflow.start_run(
                    experiment_id=experiment_id(client, name=EXPERIMENT), run_name=name, tags=dict(tags)
                ) as run,
            ):
                model_uri, model_id = log_model(folder, name)
                mlflow.log_metrics(dict(metrics), model_id=model_id)
                made = client.create_model_version(
                    name, model_uri, run.info.run_id, tags=dict(tags), description=description, model_id=model_id
                )
                version = str(made.version)
        client.set_registered_model_alias(name, CHAMPION, version)
    return version, not same
