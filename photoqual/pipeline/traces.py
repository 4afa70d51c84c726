"""Where a photo may be seen beside the data proper: pictures and pages under reports/."""

import html
import json
from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd

from photoqual.layout import Layout

_TEXT = {".csv", ".html", ".js", ".json", ".jsonl", ".md", ".txt"}
_LARGEST = 100_000_000
_ID_DIGITS = 12
"""Digits of an id that pages show."""
_TELLING = 8
"""Characters from which on a title or a key is looked for: a shorter one would be found everywhere."""
_FACTS = ("page_url", "image_url", "title", "source_key")


def needles(photo_ids: Iterable[str], rows: pd.DataFrame) -> list[bytes]:
    """Return what a page would say of photos: ids, and addresses, titles and keys of their catalog `rows`."""
    texts = {photo[:_ID_DIGITS] for photo in photo_ids}
    for name in _FACTS:
        texts.update(str(text) for text in rows[name].dropna() if len(str(text)) >= _TELLING)
    forms = {form for text in texts for form in (text, html.escape(text), json.dumps(text)[1:-1])}
    return sorted(form.encode("utf-8", "surrogatepass") for form in forms)


def traces(layout: Layout, wanted: Collection[bytes], outs: Collection[str], *, frozen: bool) -> list[str]:
    """Return the files under reports/ that tell of photos, relative to the project.

    `wanted`: what they would say; `outs`: what DVC tracks, of which files of their own stay. `frozen`: the photos were in
    the frozen test set, so pictures of its photos may show them.
    """
    found = {path for path in _texts(layout.root / "reports") if _says(path, wanted)}
    if frozen:
        for shown in (layout.evaluation / "plots", layout.promotion):
            found.update(path for path in shown.rglob("*") if path.is_file())
    return sorted({path.relative_to(layout.root).as_posix() for path in found} - set(outs))


def clear(layout: Layout, paths: Iterable[str]) -> None:
    """Delete files of the project."""
    for name in paths:
        (layout.root / name).unlink(missing_ok=True)


def _texts(folder: Path) -> Iterable[Path]:
    return (
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in _TEXT and path.is_file() and path.stat().st_size <= _LARGEST
    )


def _says(path: Path, wanted: Collection[bytes]) -> bool:
    text = path.read_bytes()
    return any(needle in text for needle in wanted)
