"""Which registered versions photos went into: by the list that each version carries, and by the splits of its data."""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoqual import files
from photoqual.errors import DataError, PipelineError, RegistryError
from photoqual.labels.splits import HELD_OUT
from photoqual.models.info import TRAINED_ON
from photoqual.pipeline import dvc, git, locks
from photoqual.registry.store import JOURNAL, MODEL_NAME, connected, masked, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SPLITS = "data/splits.parquet"


def versions_with(
    photo_ids: Collection[str], *, frozen: Mapping[str, Collection[str]], root: Path = Path()
) -> dict[str, Any]:
    """Return {"registry", "versions", "unknown"}: every version of every registered model that was trained, validated or
    judged on one of `photo_ids`, and those of which nobody can tell. `frozen`: photos of frozen test sets at hand, by
    digest. Without a registry, `registry` is None and `why` says so.
    """
    told: dict[str, Any] = {"registry": None, "versions": [], "unknown": []}
    try:
        with connected(root) as client:
            told["registry"] = masked(tracking_uri(root))
            splits = Splits(root)
            for version, aliases in _versions(client):
                judged = set(frozen.get(version.tags.get("frozen_test_digest", ""), ()))
                _tell(version, aliases, frozenset(photo_ids), judged, splits, told)
    except RegistryError as error:
        return {"registry": None, "why": error.message, "versions": [], "unknown": []}
    except ModuleNotFoundError as error:
        return {"registry": None, "why": f"{error.name} is not installed here", "versions": [], "unknown": []}
    return told


def _tell(
    version: "ModelVersion",
    aliases: list[str],
    photos: frozenset[str],
    judged: set[str],
    splits: "Splits",
    told: dict[str, Any],
) -> None:
    """Add what is known of one version to `told`."""
    about: dict[str, Any] = {"model": version.name, "version": str(version.version), "aliases": aliases}
    trained = _trained_on(version)
    parts, why = splits.at(version.tags.get("git_rev")) if version.name == MODEL_NAME else (None, "")
    if trained is None and parts is None:
        told["unknown"].append({**about, "why": f"it carries no list of its photos; {why}".rstrip("; ")})
        return
    found = dict.fromkeys(photos & judged, "test") | dict.fromkeys(photos & (trained or set()), "trained on")
    found |= {photo: parts[photo] for photo in photos & set(parts or ()) if parts and parts[photo] != HELD_OUT}
    if found:
        counts = {part: sum(other == part for other in found.values()) for part in sorted(set(found.values()))}
        told["versions"].append({**about, "parts": counts, "photos": sorted(found)})


def _versions(client: "MlflowClient") -> "Iterator[tuple[ModelVersion, list[str]]]":
    """Yield the versions of all registered models that learn from photos, oldest first, with their aliases."""
    for listed in client.search_registered_models(f"name LIKE '{MODEL_NAME}%'", max_results=1000):
        if listed.name == JOURNAL or not (listed.name + "-").startswith(f"{MODEL_NAME}-"):
            continue
        aliases: dict[str, list[str]] = {}
        for alias, number in client.get_registered_model(listed.name).aliases.items():
            aliases.setdefault(str(number), []).append(alias)
        found = client.search_model_versions(f"name = '{listed.name}'", max_results=10_000)
        for version in sorted(found, key=lambda version: int(version.version)):
            yield version, sorted(aliases.get(str(version.version), []))


def _trained_on(version: "ModelVersion") -> set[str] | None:
    """Return the ids in the list that a version carries, the one file of it that is fetched; None without a list."""
    import mlflow
    from mlflow.exceptions import MlflowException

    folder = f"models:/{version.name}/{version.version}/artifacts"
    try:
        inside = mlflow.artifacts.list_artifacts(artifact_uri=folder)
        for place in [item.path for item in inside if item.is_dir]:
            with tempfile.TemporaryDirectory(prefix="photoqual-trained-") as scratch:
                address = f"{folder}/{Path(place).name}/{TRAINED_ON}"
                found = Path(mlflow.artifacts.download_artifacts(address, dst_path=scratch))
                return set(files.read_table(found)["photo_id"].to_pylist())
    except (MlflowException, OSError, DataError, KeyError):
        return None
    return None


class Splits:
    """Splits of earlier revisions, each asked of DVC once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, dict[str, str]] = {}

    def at(self, revision: str | None) -> tuple[dict[str, str] | None, str]:
        """Return {photo: split} of the data at a git revision; (None, why) where it cannot be had."""
        if not revision:
            return None, "it names no commit"
        if not (self._root / ".dvc").is_dir() or not git.find(self._root, revision):
            return None, f"commit {revision[:12]} is not in this clone"
        try:
            digest = locks.hashes(locks.parse_lock(git.read(self._root, revision, "dvc.lock") or "")).get(SPLITS)
            if digest is None:
                return None, f"dvc.lock at {revision[:12]} names no splits"
            if digest not in self._known:
                file = dvc.object_file(self._root, digest)
                if file is None:
                    return None, f"the splits at {revision[:12]} are in neither cache nor store"
                splits = files.read_table(file)
                self._known[digest] = dict(
                    zip(splits["photo_id"].to_pylist(), splits["split"].to_pylist(), strict=True)
                )
        except (PipelineError, DataError, KeyError) as error:
            return None, f"the splits at {revision[:12]} cannot be read ({error})"
        return self._known[digest], ""
