"""`photoqual explain`: why one photo got its rating, at the level that is asked for."""

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from photoqual import files
from photoqual.errors import ConfigError, DataError
from photoqual.layout import Layout
from photoqual.models.scorer import Scorer
from photoqual.rating.explain import everything, levels
from photoqual.starter.model import resolve

SENTENCE, PANEL, EVERYTHING = "sentence", "panel", "everything"
"""The levels: how much is told."""


def explain(
    photo: Path,
    *,
    level: str,
    model: str | None = None,
    out: Path | None = None,
    as_json: bool = False,
    of: str | None = None,
    dream: bool = True,
    layout: Layout | None = None,
) -> dict[str, Any]:
    """Print why `photo` got its rating, as text or as JSON; everything is the page `out`. Return what was told.

    Raise ConfigError for options that do not fit, DataError for a photo that cannot be read.
    """
    _check(level, out, as_json)
    name, folder = resolve(model)
    scorer = Scorer.load(folder)
    looked = everything.look(photo, scorer, name)
    told = {**asdict(looked.rating), "sentence": levels.sentence(looked.rating)}
    if level == EVERYTHING:
        told = _everything(looked, scorer, layout or Layout(), out, of, dream)
    if as_json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
    elif level == PANEL:
        known = scorer.info.sure_margin is not None
        console = Console()
        print(
            levels.panel(looked.rating, margin_known=known, width=console.width if console.is_terminal else None),
            end="",
        )
    else:
        print(told["sentence"])
    return told


def _everything(
    looked: everything.Looked, scorer: Scorer, layout: Layout, out: Path | None, of: str | None, dream: bool
) -> dict[str, Any]:
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    status = errors.status("looking") if errors.is_terminal else None
    shown: AbstractContextManager[Any] = status or nullcontext()

    def counted(photos: Iterable[tuple[str, bytes]], count: int) -> Iterable[tuple[str, bytes]]:
        for done, photo in enumerate(photos, start=1):
            if status:
                status.update(f"looking at rated photos: {done:,} of {count:,}")
            yield photo

    with shown:
        told = everything.gather(
            looked,
            scorer,
            layout,
            of=of,
            dream=dream,
            saying=lambda what: status.update(what) if status else None,
            progress=counted,
        )
    if out is not None:
        from photoqual.rating.explain.page import explain_page

        try:
            files.write_bytes(out, explain_page(told, scorer.info).encode())
        except OSError as error:
            raise DataError(
                f"{out} cannot be written: {error.strerror or error}.", next_step="Name another file."
            ) from None
        errors.print(f"written to {out}")
    return everything.as_values(told)


def _check(level: str, out: Path | None, as_json: bool) -> None:
    if level == EVERYTHING and out is None and not as_json:
        raise ConfigError("Everything is a page.", next_step="Name it with --out FILE.html, or add --json.")
    if level != EVERYTHING and out is not None:
        raise ConfigError(f"--out is for the page of everything, not for a {level}.", next_step="Leave out --level.")
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"{out} cannot be written.", next_step="Name a file in a folder that exists with --out.")
