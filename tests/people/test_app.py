"""The app as a person uses it, in a real browser: rate, look into reasons, see the champion change. The command is
killed in the end, and its server must not outlive it.
"""

import signal
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from photoqual.layout import Layout
from tests.conftest import encoded, scene
from tests.model.registered import BLUE, RED
from tests.people.app_project import made_project, promoted
from tests.people.app_server import app_running, server_of, settle, visit
from tests.people.browser import DESKTOP, PHONE, browser, foreign_requests, page_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FilePayload, Page

__all__ = ["browser"]

MARKUP = "<img src=x onerror=alert(1)> ![x](y) :red[y] $z$ *b*.png"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """A project whose registry has a champion, version 1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        layout = made_project(tmp_path_factory.mktemp("project"))
        assert promoted(layout, BLUE) == "1"
        yield layout


@pytest.fixture(scope="module")
def app(project: Layout) -> Iterator[str]:
    with app_running(project.root, end=signal.SIGKILL) as url:
        yield url


def bomb() -> bytes:
    """Return a PNG of a few bytes that claims to have 900 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def sent(name: str, data: bytes) -> "FilePayload":
    return {"name": name, "mimeType": "image/png", "buffer": data}


def good_photo(seed: int = 1) -> bytes:
    return encoded(Image.blend(scene(seed), Image.new("RGB", (96, 64), (190, 120, 160)), 0.8))


def upload(page: "Page", *files: "FilePayload") -> None:
    page.locator("input[type=file]").set_input_files(list(files))


def stars(page: "Page") -> str:
    return str(page.get_by_role("img", name="of 5 stars").get_attribute("aria-label"))


def test_photos_are_rated_with_reasons_and_bad_files_get_a_kind_word(
    app: str, browser: "Browser", project: Layout
) -> None:
    with page_of(browser) as page:
        foreign, dialogs = foreign_requests(page), []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        visit(page, app, "Rate my photo")
        assert page.get_by_text("of photoqual answers.").is_visible()
        upload(
            page,
            sent("good.png", good_photo()),
            sent("letter.jpg", b"Dear Sir or Madam"),
            sent(MARKUP, encoded(scene(2))),
            sent("bomb.png", bomb()),
            sent("../../../etc/climber.jpg", good_photo(3)[:500]),
        )
        page.get_by_text("2 photos rated, the best first").wait_for()
        settle(page)
        told = page.get_by_role("alert").all_inner_texts()
        assert any("letter.jpg: It is not a photo" in text for text in told), told
        assert any("bomb.png: It claims to have more than 120 megapixels" in text for text in told), told
        assert any("climber.jpg: It ends too early" in text and ".." not in text for text in told), told
        assert "of 5 stars" in stars(page)
        table = page.get_by_role("table", name="What the model thinks, most likely first")
        assert {"good", "bad"} <= set(table.get_by_role("rowheader").all_inner_texts())

        page.get_by_text("Everything", exact=True).click()
        page.get_by_role("table", name="Measured").wait_for()
        assert page.get_by_text("What speaks against it").is_visible()
        page.get_by_text("In a sentence", exact=True).click()
        page.get_by_role("table", name="Measured").wait_for(state="detached")

        names = [page.locator("[data-testid=stText]").inner_text()]
        page.keyboard.press("n")
        page.get_by_role("button", name="Previous").and_(page.locator(":enabled")).wait_for()
        settle(page)
        names.append(page.locator("[data-testid=stText]").inner_text())
        assert sorted(names) == sorted([MARKUP, "good.png"]), names
        assert "Traceback" not in page.content()
        assert not foreign + dialogs, foreign + dialogs
    assert not [path for path in Path(project.root).rglob("*") if path.suffix in (".jpg", ".bin")]


def test_an_upload_is_written_nowhere_and_rated_without_tensorflow(app: str, browser: "Browser") -> None:
    large = encoded(Image.effect_noise((1600, 1200), 90).convert("RGB"), quality=95)
    process = server_of(app)
    with page_of(browser) as page:
        visit(page, app, "Rate my photo")
        before = written(process)
        upload(page, sent("large.jpg", large))
        page.get_by_role("img", name="of 5 stars").wait_for()
        settle(page)
        assert written(process) - before < len(large) / 2, "an upload went into a file"
    assert "libtensorflow" not in (process / "maps").read_text()


def written(process: Path) -> int:
    """Return how many bytes a process has written so far, to files and elsewhere."""
    return int(dict(line.split(": ") for line in (process / "io").read_text().splitlines())["wchar"])


def test_an_example_is_picked_with_the_keyboard_on_a_phone_in_the_dark(app: str, browser: "Browser") -> None:
    with page_of(browser, PHONE, dark=True) as page:
        foreign = foreign_requests(page)
        visit(page, app, "Rate my photo")
        picked = page.locator("[data-testid=stExpander] [data-testid=stButton] button").first
        picked.wait_for()
        for _ in range(25):
            page.keyboard.press("Tab")
            if picked.evaluate("button => button === document.activeElement"):
                break
        page.keyboard.press("Enter")
        page.get_by_role("img", name="of 5 stars").wait_for()
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        unnamed = "img:not([alt]), button:not([aria-label]):empty, input:not([type=file]):not([aria-label]):not([id])"
        assert page.locator(unnamed).count() == 0
        assert not foreign, foreign


def test_a_new_champion_is_seen_without_a_restart(app: str, browser: "Browser", project: Layout) -> None:
    with page_of(browser, DESKTOP) as page:
        visit(page, app, "Rate my photo")
        upload(page, sent("good.png", good_photo()))
        page.get_by_role("img", name="of 5 stars").wait_for()
        settle(page)
        before = page.get_by_role("table").inner_text()
        with page_of(browser) as other:
            visit(other, f"{app}/champion", "Champion")
            other.get_by_role("heading", name="Version 1").wait_for()
            assert other.get_by_text("First champion: AUC").first.is_visible()

            assert promoted(project, RED) == "2"

            page.get_by_text("In a panel", exact=True).click()  # any interaction
            page.get_by_text("Version 2 of photoqual answers.").wait_for()
            page.get_by_role("button", name="Rate them again by version 2 of photoqual").click()
            page.get_by_text("These were rated by").wait_for(state="detached")
            settle(page)
            assert page.get_by_role("table").inner_text() != before

            visit(other, f"{app}/champion", "Champion")
            other.get_by_role("heading", name="Version 2").wait_for()
            assert other.get_by_text("promoted, against version 1").is_visible()
            other.get_by_text("The model card").click()
            other.get_by_text("The card of a tiny model.").wait_for()
            with other.expect_download() as downloading:
                other.get_by_role("button", name="Download the report").click()
            assert "<!doctype html>" in Path(downloading.value.path()).read_text().lower()


def test_a_taste_is_refused_kindly_where_nothing_can_be_built_upon(app: str, browser: "Browser") -> None:
    with page_of(browser) as page:
        visit(page, f"{app}/taste", "Taste")
        page.get_by_text("cannot learn a taste").wait_for()
        assert page.get_by_text("Train a champion of your own first").is_visible()
