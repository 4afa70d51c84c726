"""Photos as a person names them: by id, by the first digits of one, or by place (`source:source_key`)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from photoqual.errors import ConfigError, DataError, MissingData
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos.forgotten import Forgotten, key_digest
from photoqual.photos.removal import shard_files, shard_rows

_ID = re.compile(r"[0-9a-f]{8,64}")
_WHOLE = 64
_EXAMPLES = 5
_HELD = ["photo_id", "source", "source_key"]
Place = tuple[str, str]


@dataclass(frozen=True)
class Named:
    """What was named, and what belongs to it.

    `photos`: {id: places it was found at}; an id is None for places whose photo was never read. `rows`: of the catalog.
    `replaced`: places of these photos that show another photo by now. `not_found`: ids that are nowhere here.
    """

    photos: dict[str | None, tuple[Place, ...]]
    rows: pd.DataFrame
    stays: pd.DataFrame
    replaced: tuple[Place, ...]
    not_found: tuple[str, ...]

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(photo for photo in self.photos if photo)

    @property
    def forgotten(self) -> Forgotten:
        """Return these photos and places in the form that data is searched by."""
        places = (place for found in self.photos.values() for place in found)
        return Forgotten(self.ids, frozenset(key_digest(*place) for place in places))


def read_names(path: Path) -> list[str]:
    """Return the names in a file, one a line; empty lines and those that start with # do not count."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}.", next_step="Name a text file in UTF-8 with a photo a line."
        ) from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def find_named(layout: Layout, names: Sequence[str], already: Forgotten) -> Named:
    """Find what `names` stand for in catalog and shards; a place that was forgotten `already` may be named again.

    To a photo belong all places that show it; to a place belong the photo that it shows and those that it showed before,
    unless another place shows them. Raise DataError when a name stands for nothing, or for several photos.
    """
    try:
        catalog = catalogs.read_catalog(layout.catalog)
    except MissingData:
        catalog = catalogs.empty_catalog()
    catalog = catalog.astype(dict.fromkeys(_HELD, object))
    frames = [shard_rows(path) for path in shard_files(layout.photos)]
    held = pd.concat(frames) if frames else pd.DataFrame(columns=_HELD, dtype=object)
    held = held.dropna(subset=["photo_id"]).drop_duplicates(ignore_index=True)
    known = {*catalog["photo_id"].dropna(), *held["photo_id"]}
    ids, places = _read(names, known, {*_places(catalog), *_places(held)}, already)
    going = _at(catalog, places)
    ids |= set(catalog.loc[going, "photo_id"].dropna())
    going |= catalog["photo_id"].isin(ids)
    rows, stays = catalog[going], catalog[~going]
    places |= set(_places(rows))
    older = held[_at(held, places) & ~held["photo_id"].isin(stays["photo_id"])]
    ids |= set(older["photo_id"])
    stored = held[held["photo_id"].isin(ids)]
    replaced = set(_places(stored)) & set(_places(stays))
    photos: dict[str | None, set[Place]] = {photo: set() for photo in sorted(ids)}
    for source in (rows, stored):
        for photo, place in zip(source["photo_id"], _places(source), strict=True):
            if place not in replaced:
                photos.setdefault(None if pd.isna(photo) else str(photo), set()).add(place)
    if left := places.difference(*photos.values()):
        photos.setdefault(None, set()).update(left)
    return Named(
        {photo: tuple(sorted(found)) for photo, found in photos.items()},
        rows,
        stays,
        tuple(sorted(replaced)),
        tuple(sorted(ids - known - already.photos)),
    )


def _read(names: Sequence[str], known: set[str], places: set[Place], already: Forgotten) -> tuple[set[str], set[Place]]:
    """Return the ids and the places that `names` stand for."""
    ids: set[str] = set()
    found: set[Place] = set()
    problems: list[str] = []
    for name in names:
        source, colon, key = name.partition(":")
        if _ID.fullmatch(name):
            matching = [name] if len(name) == _WHOLE else [photo for photo in known if photo.startswith(name)]
            ids.update(matching[:1])
            if len(matching) != 1:
                problems.append(f"{name} begins the ids of {len(matching)} photos")
        elif colon and ((source, key) in places or key_digest(source, key) in already.keys):
            found.add((source, key))
        else:
            problems.append(f"{name!r} is no place of a photo" if colon else f"{name!r} is no photo id")
    if problems:
        more = f" and {len(problems) - _EXAMPLES} more" if len(problems) > _EXAMPLES else ""
        raise DataError(
            f"Nothing was done: {'; '.join(problems[:_EXAMPLES])}{more}.",
            next_step="Name photos by id (64 hex digits, or the first 8 and more) or as source:source_key, as the catalog "
            "has them; `dvc pull` brings catalog and shards.",
            problems=problems,
        )
    return ids, found


def _places(rows: pd.DataFrame) -> Iterable[Place]:
    return zip(rows["source"].astype(str), rows["source_key"].astype(str), strict=True)


def _at(rows: pd.DataFrame, places: set[Place]) -> pd.Series:
    return pd.Series([place in places for place in _places(rows)], index=rows.index, dtype=bool)
