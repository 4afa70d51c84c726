"""Labelling as a person does it, in a real browser: by keyboard, through a killed server, undone, exported, on a phone."""

import csv
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from photoqual.labels.desk import Session, open_desk
from photoqual.labels.desk_photos import find_photos
from tests.conftest import encoded, scene
from tests.model.registered import RED, side_folder, tiny_folder
from tests.people.app_server import app_running, settle, visit
from tests.people.browser import PHONE, browser, foreign_requests, page_of
from tests.people.labelled import write_photos
from tests.servers import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser"]

MARKUP = "<img src=x onerror=alert(1)> ![x](http:--evil.example-x.png) :red[y] $z$.jpg"
_SHOWN = """before => {
  const places = [...document.querySelectorAll("[class*=st-key-label-shown-]")];
  const deals = new Set(places.map(place => place.className.match(/shown-\\d+-(\\d+)/)[1]));
  const whole = places.every(place => place.closest("[class*=st-key-label-photo-]")?.querySelector("img")?.complete);
  return deals.size === 1 && whole && !deals.has(before) && [...deals][0];
}"""


def shown(page: "Page", before: str = "") -> tuple[str, list[str]]:
    """Wait until photos of another deal than `before` are drawn; return which deal it is, and their names."""
    deal = page.wait_for_function(_SHOWN, arg=before, polling=20).json_value()
    names = page.locator("[class*=st-key-label-photo-] img").evaluate_all("found => found.map(image => image.alt)")
    return str(deal), [name.partition(": ")[2] or name for name in names]


def listening(page: "Page") -> None:
    """Wait until keys are listened for."""
    page.locator("[role=status]", has_text=re.compile("seen|left")).wait_for(state="attached")


def chosen(page: "Page", number: int) -> None:
    page.locator(f"[class*='label-photo-{number}-chosen']").wait_for()


def press(page: "Page", keys: str) -> None:
    for key in keys:
        page.keyboard.press({"\n": "Enter"}.get(key, key))


def kill_server(port: int) -> None:
    """Kill the app's server on `port`, and nothing else, as a crash would."""
    wanted = ["-m", "photoqual.app.server", "127.0.0.1", str(port)]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if words[1:5] == wanted:
            os.kill(int(process.name), signal.SIGKILL)
            return
    raise AssertionError(f"no server on port {port}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `photos` to label, one of them with markup for a name, one broken and one that leads outside."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_photos(tmp_path / "photos", 26)
    (tmp_path / "photos" / MARKUP).write_bytes(encoded(scene(90)))
    (tmp_path / "photos/broken.jpg").write_bytes(b"")
    (tmp_path / "secret.jpg").write_bytes(encoded(scene(91)))
    (tmp_path / "photos/link.jpg").symlink_to(tmp_path / "secret.jpg")
    side_folder(tmp_path / "model")
    return tmp_path


def choose(page: "Page", keys: str) -> None:
    """Press `keys`, and wait until the last of the photos they name is drawn as chosen."""
    press(page, keys)
    for key in keys[-1:]:
        chosen(page, int(key))


def test_twenty_photos_by_keyboard_through_a_crash_with_undo_and_export(folder: Path, browser: "Browser") -> None:
    port = free_port()
    options = ("--photos", "photos", "--labels", "desk", "--model", "model")
    advanced: dict[str, bool] = {}
    with page_of(browser) as page:
        foreign, dialogs = foreign_requests(page), []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        with app_running(folder, *options, port=port) as url:
            visit(page, f"{url}/label", "Label")
            page.get_by_role("textbox", name="Your short name").fill("Anna")
            page.keyboard.press("Enter")
            page.get_by_role("textbox", name="Your short name").wait_for(state="detached")
            deal, names = label_three_fours(page, advanced)
            choose(page, "3")
            kill_server(port)
            page.wait_for_timeout(500)
            press(page, "2")
        with app_running(folder, *options, port=port, log=folder / "again.log"):
            chosen(page, 2)
            chosen(page, 3)
            press(page, "2")
            page.locator("[class*='label-photo-2-chosen']").wait_for(state="detached")
            assert shown(page) == (deal, names)
            label_two_fours_with_undo(page, advanced)
            export(page)
            assert (foreign, dialogs) == ([], [])
            assert "Traceback" not in page.content()
    check_kept(folder, advanced)


def label_three_fours(page: "Page", advanced: dict[str, bool]) -> tuple[str, list[str]]:
    """Label twelve photos, and return what is shown then."""
    listening(page)
    deal, names = shown(page)
    for keys in ("1", "24", ""):
        assert len(names) == 4
        choose(page, keys)
        advanced |= {name: str(place) in keys for place, name in enumerate(names, start=1)}
        press(page, "\n")
        deal, names = shown(page, deal)
    page.get_by_text(re.compile("12 of 2[78] photos seen; 25% of them advanced, the target is 50%")).first.wait_for()
    return deal, names


def label_two_fours_with_undo(page: "Page", advanced: dict[str, bool]) -> None:
    """Go on from the third photo of the present four being chosen."""
    deal, names = shown(page)
    advanced |= {name: place == 3 for place, name in enumerate(names, start=1)}
    press(page, " ")
    deal, names = shown(page, deal)
    choose(page, "12")
    press(page, "\n")
    later, _ = shown(page, deal)

    page.keyboard.press("Backspace")
    assert shown(page, later) == (deal, names)
    chosen(page, 1)
    chosen(page, 2)
    page.get_by_role("button", name="Undo (u)").click()
    page.locator("[class*='label-photo-2-chosen']").wait_for(state="detached")
    choose(page, "4")
    advanced |= {name: place in (1, 4) for place, name in enumerate(names, start=1)}
    press(page, "\n")
    shown(page, deal)
    page.get_by_text(re.compile("20 of 2[78] photos seen; 30% of them advanced")).first.wait_for()


def export(page: "Page") -> None:
    page.get_by_text("Train on these labels").click()
    settle(page)
    page.get_by_role("button", name="Write the votes").click()
    page.get_by_text("rating_scale").wait_for()
    page.get_by_text("Labellers and how far they agree").click()
    page.get_by_role("button", name="Work it out").click()
    page.get_by_text("anna: 14 photos with a final label").wait_for()


def check_kept(folder: Path, advanced: dict[str, bool]) -> None:
    desk = open_desk(folder / "desk")
    photos = find_photos(desk.photos, desk.index)
    kept = Session(desk, "anna", "tournament").progress
    assert {photos.paths[photo]: won for photo, won in kept.rounds[0].items()} == advanced
    assert len(advanced) == 20
    rows = list(csv.DictReader((folder / "desk/votes-tournament.csv").read_text().splitlines()))
    assert {row["photo"] for row in rows} == {name for name, won in advanced.items() if not won}
    assert {row["vote"] for row in rows} == {"0"}
    assert {row["drawn"] for row in rows} <= {"random", "model"}


def test_folders_are_chosen_and_a_phone_labels_with_stars_then_good_or_bad(folder: Path, browser: "Browser") -> None:
    tiny_folder(folder / "featureless", RED)
    with app_running(folder, "--labels", "desk", "--model", "featureless") as url, page_of(browser, PHONE) as page:
        choose_folders(page, url, folder)
        visit(page, f"{url}/label?labeller=ben&mode=stars", "Label")
        listening(page)
        deal, names = shown(page)
        assert len(names) == 1
        page.keyboard.press("5")
        page.keyboard.press("1")
        second, others = shown(page, deal)
        page.get_by_text("in a shuffled order, for no model can say").wait_for()
        page.get_by_role("button", name="3 ★★★", exact=True).click()
        shown(page, second)
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        assert page.locator("img:not([alt])").count() == 0

        visit(page, f"{url}/label?labeller=ben&mode=good", "Label")
        listening(page)
        first, _ = shown(page)
        page.keyboard.press("g")
        last, _ = shown(page, first)
        page.keyboard.press("s")
        shown(page, last)
    desk = open_desk(folder / "desk")
    photos = find_photos(desk.photos, desk.index)
    stars = {photos.paths[photo]: value for photo, value in desk.progress("ben", "stars").values.items()}
    assert stars == {names[0]: 5, others[0]: 3}
    good = desk.progress("ben", "good")
    assert (list(good.values.values()), len(good.skipped)) == ([1], 1)


def choose_folders(page: "Page", url: str, folder: Path) -> None:
    """Name the folder of photos on the page, a wrong one first."""
    visit(page, f"{url}/label", "Label")
    page.get_by_label("Folder of photos").fill(str(folder / "nowhere"))
    page.get_by_role("button", name="Open").click()
    page.get_by_text("Name a folder of photos that exists").wait_for()
    assert not (folder / "desk").exists()
    page.get_by_label("Folder of photos").fill(str(folder / "photos"))
    page.get_by_role("button", name="Open").click()
    page.get_by_text("Give your name to begin").wait_for()
    assert open_desk(folder / "desk").photos == folder / "photos"
