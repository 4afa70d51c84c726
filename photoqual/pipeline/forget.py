"""Forget photos: take them out of all data of a project, see that they do not come back, say which models knew them.

The list is written first and everything else follows from it, so a forgetting that was killed is finished by calling it
again, and a clone that has only the list does the same with its next refresh and split.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photoqual import files
from photoqual.errors import ConfigError, MissingData, PipelineError
from photoqual.labels.splits import forget_frozen, frozen_digest, read_frozen
from photoqual.layout import Layout
from photoqual.models.info import TRAINED_ON
from photoqual.photos import journal
from photoqual.photos.catalog import is_there, read_catalog
from photoqual.photos.duplicates import MAX_BITS
from photoqual.photos.forgotten import Entry, Forgotten, add_entries, key_digest, read_forgotten
from photoqual.photos.named import Named, find_named
from photoqual.photos.removal import remove
from photoqual.pipeline import dvc, locks
from photoqual.pipeline.traces import clear, needles, traces
from photoqual.pipeline.trained import versions_with
from photoqual.registry.journal import person
from photoqual.training.features import forget_features

log = logging.getLogger(__name__)

SHOWN_ALIKE = 20


def forget(
    layout: Layout, names: Sequence[str], *, reason: str = "", by: str | None = None, dry_run: bool = True
) -> dict[str, Any]:
    """Forget the photos in `names` (see `find_named`) and return what was removed, where, and which models knew them.

    A dry run changes nothing. Raise DataError when a name stands for nothing, MissingData when the data is not all here,
    PipelineError while DVC is at work on it, ConfigError without a `reason`.
    """
    if not names:
        raise ConfigError("No photo was named.", next_step="Name photos, or a file of them with --from.")
    if not dry_run and not reason.strip():
        raise ConfigError("To forget a photo needs a reason.", next_step='Say why with --reason "…"; it is kept.')
    outs = _outs(layout)
    if not dry_run:
        _require_idle(layout, outs)
        journal.fold(layout)
    _require_whole(layout, outs)
    already = read_forgotten(layout.forgotten)
    named = find_named(layout, names, already)
    frozen = _frozen(layout)
    models = versions_with(named.ids, frozen=frozen, root=layout.root)
    told = {
        "dry_run": dry_run,
        "photos": sorted(named.ids),
        "places": sum(map(len, named.photos.values())),
        "not_found": list(named.not_found),
        "places_with_another_photo_now": [":".join(place) for place in named.replaced],
        "alike": _alike(named),
        "models": models,
        "challenger_trained_on": len(named.ids & _listed(layout.challenger / TRAINED_ON)),
    }
    if dry_run:
        gone = _take_out(layout, named.forgotten, named, outs, dry_run=True)
        return {**told, "would_remove": gone, "next": 'Add --yes and --reason "…" to do it.'}
    _list(layout, named, already, reason.strip(), by or person())
    gone = _take_out(layout, read_forgotten(layout.forgotten), named, outs, dry_run=False)
    _record(layout, outs)
    return {**told, "removed": gone, "next": _next(layout, outs)}


def _take_out(
    layout: Layout, forgotten: Forgotten, named: Named, outs: Collection[str], *, dry_run: bool
) -> dict[str, Any]:
    """Remove what is `forgotten` from everything that `layout` holds; return what was found, by where.

    Catalog and frozen test set go last: they tell a second call what else there is to find.
    """
    in_frozen = forgotten.photos & _listed(layout.frozen_test)
    reports = traces(layout, needles(named.ids, named.rows), outs, frozen=bool(in_frozen))
    if not dry_run:
        clear(layout, reports)
    found: dict[str, Any] = {
        "reports": reports,
        "label_rows": _drop_rows(layout.labels, forgotten.photos, dry_run),
        "split_rows": _drop_rows(layout.splits, forgotten.photos, dry_run),
        "predictions": _drop_rows(layout.predictions, forgotten.photos, dry_run),
        "frozen_photos": len(in_frozen),
    }
    if in_frozen:
        frozen = read_frozen(layout.frozen_test)
        left = frozen[~frozen["photo_id"].isin(in_frozen)]
        found["frozen_test_digest"] = {"before": frozen_digest(frozen), "after": frozen_digest(left)}
    if in_frozen and not dry_run:
        forget_frozen(layout.frozen_test, forgotten)
    if not dry_run:
        found["cached_feature_files"] = forget_features(forgotten.photos)
    return found | asdict(remove(layout, forgotten, dry_run=dry_run))


def _list(layout: Layout, named: Named, already: Forgotten, reason: str, by: str) -> None:
    """Write down what is not listed yet."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    entries = []
    for photo, places in named.photos.items():
        keys = tuple(sorted({key_digest(*place) for place in places} - already.keys))
        if keys or (photo and photo not in already.photos):
            entries.append(Entry(photo, keys, at, by, reason))
    if entries:
        add_entries(layout.forgotten, entries)


def _record(layout: Layout, outs: Collection[str]) -> None:
    """Bring dvc.lock to the data as it is now. The refresh has seen the list then; stages whose inputs changed are due."""
    if outs and (layout.root / ".dvc").is_dir():
        dvc.record(layout.root, outs=outs, deps=[_name(layout, layout.forgotten)])


def _outs(layout: Layout) -> list[str]:
    """Return the outs that dvc.lock names and that may hold or show photos; [] where there is no lock."""
    if not layout.lock.is_file():
        return []
    named = locks.hashes(locks.parse_lock(layout.lock.read_text(encoding="utf-8")))
    return [out for out in named if out.startswith(("data/", "reports/"))]


def _require_whole(layout: Layout, outs: Collection[str]) -> None:
    """Raise MissingData unless the data is all here: what is not could neither be searched nor recorded."""
    missing = [out for out in outs if not (layout.root / out).exists()]
    if is_there(layout.catalog):
        shards = sorted(set(read_catalog(layout.catalog)["shard"].dropna()))
        missing += [_name(layout, path) for path in (layout.photos / shard for shard in shards) if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise MissingData(
            f"Not all of the data is here: {', '.join(missing[:3])}{more}.", next_step="Run `dvc pull` first."
        )


def _require_idle(layout: Layout, outs: Collection[str]) -> None:
    if by := dvc.busy(layout.root, outs):
        raise PipelineError(
            f"DVC is at work on the data: {by}.", next_step="Wait until it has ended, then run this again."
        )


def _frozen(layout: Layout) -> dict[str, frozenset[str]]:
    """Return {digest: photo ids} of the frozen test set that is here."""
    if not layout.frozen_test.is_file():
        return {}
    frozen = read_frozen(layout.frozen_test)
    return {frozen_digest(frozen): frozenset(frozen["photo_id"])}


def _listed(path: Path) -> set[str]:
    """Return the photo ids in a Parquet file; none where there is none."""
    return set(files.read_table(path)["photo_id"].to_pylist()) if path.is_file() else set()


def _drop_rows(path: Path, photo_ids: Collection[str], dry_run: bool) -> int:
    """Take the rows of photos out of a table with a column photo_id; return how many there were."""
    if not path.is_file():
        return 0
    table = files.read_table(path)
    going = pc.is_in(table["photo_id"], value_set=pa.array(sorted(photo_ids), pa.string()))
    count = int(pc.sum(going).as_py() or 0)
    if count and not dry_run:
        with files.atomic(path) as temporary:
            pq.write_table(table.filter(pc.invert(going)), temporary, compression="zstd")
    return count


def _alike(named: Named) -> list[dict[str, str]]:
    """Return photos that stay and look the same: the same picture in another size or quality has another id."""
    hashes = _hashes(named.rows["phash"])
    stays = named.stays[named.stays["phash"].fillna("") != ""]
    if not len(hashes) or not len(stays):
        return []
    values = _hashes(stays["phash"])
    near = np.zeros(len(values), dtype=bool)
    for value in np.unique(hashes):
        near |= np.bitwise_count(values ^ value) <= MAX_BITS
    shown = stays[near].head(SHOWN_ALIKE)
    return [{"photo_id": str(row.photo_id), "place": f"{row.source}:{row.source_key}"} for row in shown.itertuples()]


def _hashes(texts: pd.Series) -> np.ndarray:
    return np.array([int(text, 16) for text in texts.fillna("").astype(str) if text], dtype=np.uint64)


def _next(layout: Layout, outs: Collection[str]) -> str:
    """Return what a person has to do yet."""
    listed = _name(layout, layout.forgotten)
    if not outs:
        return f"Keep {listed} with the project. Old copies of the data still hold the photos."
    return (
        f"Run `dvc repro`, then `git add {listed} dvc.lock`, `git commit` and `dvc push`. Earlier versions of the data still "
        "hold the photos until `dvc gc` has removed them: docs/how-to/forget.md says how."
    )


def _name(layout: Layout, path: Path) -> str:
    return path.relative_to(layout.root).as_posix()
