"""The page *Taste* in a real browser: rate by keys, see the verdict, start over. The command is ended by Ctrl-C."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from photoqual.models.info import KERAS
from tests.conftest import encoded, scene
from tests.model.registered import side_folder
from tests.people.app_server import app_running, settle, visit
from tests.people.browser import browser, foreign_requests, page_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser"]

PHOTOS = 24


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app whose model gives features and claims to have a Keras twin, which is not read where nothing is learned."""
    folder = tmp_path_factory.mktemp("taste")
    side_folder(folder / "model")
    (folder / "model" / KERAS).touch()
    photos = folder / "photos"
    photos.mkdir()
    for index in range(PHOTOS):
        (photos / f"{index:02d}.jpg").write_bytes(encoded(scene(index)))
    with app_running(folder, "--model", "model", end=signal.SIGINT) as url:
        yield url


def test_ratings_by_key_are_judged_and_forgotten(app: str, browser: "Browser") -> None:
    with page_of(browser) as page:
        foreign = foreign_requests(page)
        visit(page, f"{app}/taste", "Taste")
        folder = page.get_by_label("A folder of your photos on this machine")
        folder.fill("nowhere")
        folder.press("Enter")
        page.get_by_text("There is no such folder.").wait_for()
        folder.fill("photos")
        folder.press("Enter")
        page.get_by_text(f"0 of {PHOTOS} seen").wait_for()
        keys = [
            "1",
            "5",
            "3",
            "0",
            *("15"[int(place)] for place in np.random.default_rng(1).integers(0, 2, PHOTOS - 4)),
        ]
        for seen, key in enumerate(keys, start=1):
            _press(page, key, f"{seen} of {PHOTOS} seen")
            if seen == 1:
                _press(page, "u", f"0 of {PHOTOS} seen: 0 good, 0 bad")
                _press(page, key, f"1 of {PHOTOS} seen: 0 good, 1 bad")
        page.get_by_text("You have seen them all.").wait_for()
        with page.expect_download() as downloading:
            page.get_by_role("button", name="Download the ratings").click()
        table = Path(downloading.value.path()).read_text().splitlines()
        assert (table[0], len(table)) == ("photo,stars", PHOTOS)

        name = page.get_by_label("Whose taste? A short name")
        name.fill("An na")
        page.get_by_role("button", name="See what it learns").click()
        page.get_by_text("'An na' cannot be the name of a profile.").wait_for()
        name.fill("anna")
        page.get_by_role("button", name="See what it learns").click()
        page.get_by_text("It learned nothing that is better").wait_for()
        assert page.get_by_text("No gain beyond chance.").is_visible()
        assert page.get_by_role("button", name="Keep it").count() == 0
        page.get_by_role("button", name="Start over").click()
        page.get_by_label("A folder of your photos on this machine").wait_for()
        assert not foreign, foreign


def _press(page: "Page", key: str, then: str) -> None:
    """Press a key until it was taken, as a person would: one that is pressed while the buttons change is not."""
    from playwright.sync_api import TimeoutError as NothingYet

    page.keyboard.press(key)
    try:
        page.get_by_text(then).wait_for(timeout=20_000)
    except NothingYet:
        page.keyboard.press(key)
        page.get_by_text(then).wait_for()
    settle(page)
