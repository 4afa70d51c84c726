"""Rate a whole gallery in parts, on as many workers as there are: plan, rate each part, merge.

Work lies beside the output, in a folder or a bucket that all workers reach: a list of photos per part, then the ratings
of that part, each written whole. Every step can be killed and run again, on any worker: a part that is rated stays.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoqual.errors import ConfigError, DataError, RegistryError, SourceError
from photoqual.models.scorer import Scorer
from photoqual.rating.found import S3, InBucket, Photo, Skipped, find, open_bucket
from photoqual.rating.output.formats import FORMATS
from photoqual.rating.place import Place, written
from photoqual.rating.rater import Rating, rate
from photoqual.registry.fetch import pinned
from photoqual.starter.model import resolve

if TYPE_CHECKING:
    from photoqual.sources._objects import Objects

MOST_PARTS = 1000
"""Airflow maps one task to at most 1,024 by its own default."""
MERGED = ("parquet", "json", "csv")
"""Formats that parts can be merged into."""
_PLAN = "plan.json"
_SKIPPED = "skipped.jsonl"


@dataclass(frozen=True)
class Plan:
    """What is to be rated, by which version of a model, in how many parts, and where the result goes."""

    output: str
    format: str
    model: str
    parts: int
    photos: int


def plan(
    uri: str,
    output: str,
    *,
    run: str,
    output_format: str = "parquet",
    model: str | None = None,
    part_photos: int = 2000,
) -> Plan:
    """List the photos at `uri`, a folder or `s3://bucket/prefix`, and write them down in parts of `part_photos`.

    The version that `model` means now rates all parts. `run` names the work: planned again, it is the same. Raise
    ConfigError for a format, an output or a size that cannot be, DataError where there is no photo.
    """
    if output_format not in MERGED:
        raise ConfigError(f"There is no format {output_format} here.", next_step=f"Take one of {', '.join(MERGED)}.")
    if part_photos < 1:
        raise ConfigError(f"{part_photos} photos a part is too few.", next_step="Take 1 or more.")
    store = _work(output, run)
    if (known := store.read(_PLAN)) is not None:
        return Plan(**json.loads(known))
    name = pinned(resolve(model)[0])
    if "@" in name:
        raise RegistryError(f"Which version {name} means cannot be asked now.", next_step="Run the task again.")
    parts, photos, entries = 0, 0, list[dict[str, Any]]()
    for found in find([uri]):
        entries.append(_entry(found))
        photos += not isinstance(found, Skipped)
        if len(entries) == part_photos:
            _write_part(store, parts, entries, part_photos)
            parts += 1
    if entries:
        _write_part(store, parts, entries, part_photos)
        parts += 1
    if not photos:
        raise DataError(f"There is no photo at {uri}.", next_step="Name a folder, or s3://BUCKET/PREFIX, with photos.")
    made = Plan(output, output_format, name, parts, photos)
    store.write(_PLAN, json.dumps(asdict(made)).encode())
    return made


def rate_part(output: str, run: str, part: int) -> dict[str, int]:
    """Rate one part of a planned work, unless that was done. Return how many photos were rated and skipped."""
    store = _work(output, run)
    if (done := store.read(_rated_name(part))) is None:
        planned, listed = store.read(_PLAN), store.read(_listed_name(part))
        if planned is None or listed is None:
            raise DataError(
                f"Part {part} of {run} is not planned in {store.address}.", next_step="Run the task `plan` again."
            )
        made = Plan(**json.loads(planned))
        name, folder = resolve(made.model)
        results = list(rate(Scorer.load(folder, threads=1), _photos(json.loads(listed)), name))
        _check_store(results)
        done = "".join(json.dumps(asdict(result), ensure_ascii=False) + "\n" for result in results).encode()
        store.write(_rated_name(part), done)
    counts = Counter("skipped" if "reason" in line else "rated" for line in _lines(done))
    return {"rated": counts["rated"], "skipped": counts["skipped"]}


def merge(output: str, run: str) -> dict[str, Any]:
    """Put the ratings of all parts into the output, in the order of the listing, and what was skipped into a list beside
    it. Return the counts. Raise DataError while a part is not rated.
    """
    store = _work(output, run)
    if (planned := store.read(_PLAN)) is None:
        raise DataError(f"{run} is not planned in {store.address}.", next_step="Run the task `plan` again.")
    made = Plan(**json.loads(planned))
    reasons: Counter[str] = Counter()
    skips: list[str] = []

    def ratings() -> Iterator[Rating]:
        for part in range(made.parts):
            if (done := store.read(_rated_name(part))) is None:
                raise DataError(f"Part {part} of {run} is not rated.", next_step="Run the task of that part again.")
            for line in _lines(done):
                if "reason" in line:
                    reasons[line["reason"]] += 1
                    skips.append(json.dumps(line, ensure_ascii=False))
                else:
                    yield Rating(**line)

    with written(output) as file:
        rated = _write(made.format, file, ratings())
    with written(f"{output}.{_SKIPPED}") as file:
        file.write_text("".join(f"{line}\n" for line in skips), encoding="utf-8")
    return {"output": output, "rated": rated, "skipped": dict(reasons), "model": made.model}


def clear(output: str, run: str) -> None:
    """Remove what lies beside the output for `run`, which was merged."""
    _work(output, run).remove()


def _check_store(results: Iterable[Rating | Skipped]) -> None:
    """Raise SourceError where the store, and not the photos, is what kept them from being rated."""
    from photoqual.sources._objects import DENIED, TRANSPORT

    reasons = Counter(result.reason for result in results if isinstance(result, Skipped))
    for reason in (*sorted(TRANSPORT), DENIED):
        if reasons[reason]:
            raise SourceError(
                f"The store did not give {reasons[reason]} photos ({reason}).",
                next_step="Check the store and the keys of the workers, then run the task again.",
            )


def _write(output_format: str, file: Path, ratings: Iterable[Rating]) -> int:
    """Write `ratings` to `file` as a format of FORMATS; return how many there were."""
    form, count = FORMATS[output_format], 0
    kept = file.with_name(f"{file.name}.lines") if form.settle else file
    try:
        with kept.open("w", encoding="utf-8", newline="") as stream:
            writer = form.writer(stream)
            for rating in ratings:
                writer.write(rating)
                count += 1
            writer.close()
        if form.settle:
            form.settle(kept, file)
    finally:
        if form.settle:
            kept.unlink(missing_ok=True)
    return count


def _work(output: str, run: str) -> Place:
    """Return where the work of `run` lies: beside the output, under a name that no other run has."""
    if output.endswith("/") or not output.strip():
        raise ConfigError(f"{output!r} names no file.", next_step="Name one, such as s3://bucket/ratings.parquet.")
    return Place(f"{output}.parts-{hashlib.sha256(run.encode()).hexdigest()[:12]}")


def _write_part(store: Place, part: int, entries: list[dict[str, Any]], part_photos: int) -> None:
    if part >= MOST_PARTS:
        raise ConfigError(
            f"There are more than {MOST_PARTS} parts of {part_photos} photos.",
            next_step=f"Give each part more photos: {10 * part_photos}.",
        )
    store.write(_listed_name(part), json.dumps(entries).encode())
    entries.clear()


def _listed_name(part: int) -> str:
    return f"{part:04d}.listed.json"


def _rated_name(part: int) -> str:
    return f"{part:04d}.rated.jsonl"


def _entry(found: Photo | Skipped) -> dict[str, Any]:
    """Return what is written down of a photo, so that another worker finds it without listing again."""
    if isinstance(found, Skipped):
        return asdict(found)
    if isinstance(found, InBucket):
        item = found.item
        modified = item.modified.isoformat() if item.modified else None
        return {"photo": str(found), "key": item.key, "size": item.size, "mark": item.mark, "modified": modified}
    return {"photo": str(found.absolute())}


def _photos(entries: Iterable[dict[str, Any]]) -> Iterator[Photo | Skipped]:
    """Yield the photos that `_entry` wrote down."""
    buckets: dict[str, Objects] = {}
    for entry in entries:
        if "reason" in entry:
            yield Skipped(**entry)
        elif "key" in entry:
            from photoqual.sources._objects import Listed

            modified = entry["modified"] and datetime.fromisoformat(entry["modified"])
            name = entry["photo"].removeprefix(S3).partition("/")[0]
            if name not in buckets:
                buckets[name] = open_bucket(name)
            yield InBucket(entry["photo"], buckets[name], Listed(entry["key"], entry["size"], entry["mark"], modified))
        else:
            yield Path(entry["photo"])


def _lines(done: bytes) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in done.split(b"\n") if line)
