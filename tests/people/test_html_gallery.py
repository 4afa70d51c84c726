"""The HTML gallery: one file, offline, safe to open whatever photos are called, quick with many, faces blurred."""

import base64
import io
import re
import tracemalloc
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from photoqual.cli import app
from photoqual.errors import ConfigError
from photoqual.rating.gallery import faces
from photoqual.rating.gallery.thumbnail import LONG_SIDE, maker, thumbnail, with_faces_blurred
from photoqual.rating.gallery.writer import GalleryWriter, shown_name
from tests.conftest import scene
from tests.long import times
from tests.people.browser import PHONE, browser, foreign_requests, page_of
from tests.people.rated import a_rating, make_photos, quick_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser"]
HOSTILE = "</script><img src=x onerror=alert(1)> \"&\x1b[2J'{{ 7*7 }}.jpg"
DEFECTS: tuple[dict[str, float], ...] = (
    {"noise": 0.9, "motion_blur": 0.1},
    {"noise": 0.1, "motion_blur": 0.7},
    {"noise": 0.2, "motion_blur": 0.2},
)


def gallery_of(count: int) -> str:
    """Return a gallery of `count` photos whose properties go by their number; the first one's name is hostile."""
    pictures = [thumbnail(scene(seed, (160, 120))) for seed in range(5)]
    stream = io.StringIO()
    writer = GalleryWriter(stream)
    for index in range(count):
        score = (index * 37 % 100) / 100
        changes: dict[str, Any] = {
            "score": score,
            "stars": min(5, 1 + int(score * 5)),
            "label": "good" if score >= 0.5 else "bad",
            "sure": index % 4 > 0,
            "defects": DEFECTS[index % 3],
            "reasons": ["noise: 0.90"] if index % 3 == 0 else [],
            "strengths": ["sharp (sharpness 7, theirs 5 to 8)"],
        }
        name = HOSTILE if index == 0 else f"photo {index}.jpg"
        writer.write(a_rating(f"/home/anna/secret/trip {index % 2}/{name}", **changes), pictures[index % 5])
    writer.close()
    return stream.getvalue()


class References(HTMLParser):
    """Collects what a page would load or run, and the text of its headings."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "href", "action", "data", "poster"):
                self.loaded.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)


def test_the_page_needs_nothing_else_and_no_name_becomes_markup() -> None:
    html = gallery_of(12)
    found = References(html)
    assert found.tags.count("img") == 12
    assert found.tags.count("script") == 1
    assert found.tags.count("li") == 12 + html.count("<li>")
    assert not found.handlers
    assert {value.partition(",")[0] for value in found.loaded} == {"data:image/jpeg;base64", "#photos"}
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html
    assert not re.search(r"https?://|@import|url\(", html)
    assert "/home/anna" not in html
    assert "secret" not in html
    assert "\x1b" not in html
    assert "{{ 7*7 }}.jpg" in html
    assert "@@" not in html


def test_what_was_broken_off_still_holds_its_photos_and_no_photo_is_a_whole_page() -> None:
    html = gallery_of(12)
    for share in (0.4, 0.7, 0.95):
        whole = html[: int(len(html) * share)].count("</li>\n")
        assert References(html[: int(len(html) * share)]).tags.count("img") >= whole
    assert "there is no photo" in gallery_of(0)
    assert gallery_of(0).rstrip().endswith("</html>")


def test_writing_takes_no_memory_that_grows() -> None:
    class Nothing(io.StringIO):
        written = 0

        def write(self, text: str) -> int:
            Nothing.written += len(text)
            return len(text)

    writer, picture = GalleryWriter(Nothing()), thumbnail(scene(1, (640, 480)))
    writer.write(a_rating("first.jpg"), picture)
    tracemalloc.start()
    for index in range(times(300, 10_000)):
        writer.write(a_rating(f"{index}.jpg"), picture)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert Nothing.written > times(300, 10_000) * len(picture)
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("photo", "shown"),
    [
        ("/home/anna/trip/a.jpg", ("trip", "a.jpg")),
        ("a.jpg", ("", "a.jpg")),
        ("s3://bucket/2026/a.jpg", ("2026", "a.jpg")),
        ("s3://bucket/a.jpg", ("bucket", "a.jpg")),
        ("C:\\photos\\a.jpg", ("photos", "a.jpg")),
        ("C:\\a.jpg", ("", "a.jpg")),
        ("../../a\n.jpg", ("..", "a?.jpg")),
        ("/", ("", "photo")),
    ],
)
def test_of_a_path_two_names_are_told(photo: str, shown: tuple[str, str]) -> None:
    assert shown_name(photo) == shown


@pytest.mark.parametrize("size", [(4000, 3000), (3000, 4000), (320, 200), (40, 30), (1, 900)])
def test_a_thumbnail_is_small_and_without_metadata(size: tuple[int, int]) -> None:
    image = scene(1, size)
    image.info = {"exif": b"Exif\0\0secret", "comment": b"secret", "icc_profile": b"secret"}
    made = thumbnail(image)
    opened = Image.open(io.BytesIO(made))
    assert max(opened.size) == min(max(size), LONG_SIDE)
    assert b"secret" not in made
    assert len(made) < 60_000


def test_rate_writes_the_gallery_and_skips_are_told(tmp_path: Path) -> None:
    make_photos(tmp_path / "in", 3)
    (tmp_path / "in/letter.jpg").write_text("not a photo")
    page = tmp_path / "gallery.html"
    model = quick_model(tmp_path / "model")
    result = CliRunner().invoke(app, ["rate", str(tmp_path / "in"), "--model", str(model), "--out", str(page)])
    assert result.exit_code == 1
    assert "3 rated, 1 skipped (1 not_an_image)" in result.stderr
    html = page.read_text()
    assert html.count('<li class="photo"') == 3
    assert "Rated by model." in html
    for picture in re.findall(r"base64,([^\"]+)", html):
        assert Image.open(io.BytesIO(base64.b64decode(picture))).format == "JPEG"


@pytest.mark.parametrize("options", [("--format", "json"), ("--format", "csv"), ()])
def test_faces_are_blurred_in_a_gallery_alone(tmp_path: Path, options: tuple[str, ...]) -> None:
    make_photos(tmp_path / "in", 1)
    result = CliRunner().invoke(app, ["rate", str(tmp_path / "in"), "--blur-faces", *options])
    assert isinstance(result.exception, ConfigError)
    assert "Add --format html." in str(result.exception)


def test_without_opencv_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="extra `faces`"):
        maker(blur_faces=True)
    assert maker(blur_faces=False) is thumbnail


def test_a_face_is_gone_and_the_rest_is_as_it_was() -> None:
    pytest.importorskip("cv2", reason="needs OpenCV (extra `faces`)")
    data = pytest.importorskip("skimage.data", reason="needs scikit-image (extra `demo`)")
    photo = Image.fromarray(data.astronaut())
    eyes = (224, 110)
    found = faces.find_faces(photo)
    assert any(left < eyes[0] < right and top < eyes[1] < bottom for left, top, right, bottom in found)
    before, after = np.asarray(photo), np.asarray(faces.blur_faces(photo))
    detail = (slice(80, 160), slice(180, 260))
    assert np.diff(after[detail].astype(int), axis=0).std() < 0.2 * np.diff(before[detail].astype(int), axis=0).std()
    changed = (before != after).any(axis=2)
    boxes = np.zeros_like(changed)
    for left, top, right, bottom in found:
        boxes[top:bottom, left:right] = True
    assert not changed[~boxes].any()
    assert changed.mean() < 0.2
    assert with_faces_blurred(photo) != thumbnail(photo)
    assert with_faces_blurred(scene(3, (200, 150))) == thumbnail(scene(3, (200, 150)))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gallery") / "gallery.html"
    path.write_text(gallery_of(200), encoding="utf-8")
    return path


@pytest.fixture
def page(browser: "Browser", gallery: Path) -> "Iterator[Page]":
    """The gallery in a browser; no error of a script, no dialog and no request beyond the file may come."""
    with page_of(browser) as opened:
        foreign, wrong = foreign_requests(opened), list[str]()
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        opened.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        opened.goto(gallery.as_uri())
        yield opened
        assert foreign == []
        assert wrong == []


def scores(page: "Page") -> list[float]:
    return [
        float(score) for score in page.locator("#photos > li").evaluate_all("them => them.map(it => it.dataset.score)")
    ]


def test_sorted_and_filtered_by_keyboard(page: "Page") -> None:
    count = page.locator("#count")
    assert count.inner_text() == "200 photos"
    assert scores(page) == sorted(scores(page), reverse=True)
    page.keyboard.press("Tab")
    assert page.locator("a.skip").evaluate("it => it === document.activeElement")
    page.keyboard.press("Tab")
    assert page.get_by_label("Sort by").evaluate("it => it === document.activeElement")
    page.keyboard.press("ArrowDown")
    assert scores(page) == sorted(scores(page))
    for label, value, left in (
        ("Defect", "noise", 67),
        ("Sure", "yes", 50),
        ("At least", "4", 20),
        ("Label", "bad", 0),
    ):
        page.get_by_label(label, exact=True).select_option(value)
        shown = int(count.inner_text().split()[0])
        assert abs(shown - left) <= 2, (label, count.inner_text())
    assert "Nothing fits; take back a filter." in count.inner_text()
    page.get_by_role("button", name="Show all").press("Enter")
    page.get_by_text("200 photos", exact=True).wait_for()
    page.get_by_label("Defect", exact=True).select_option("-")
    assert count.inner_text() == "66 of 200 photos"
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("Name contains").fill("TRIP 1/PHOTO 19")
    assert count.inner_text() == "6 of 200 photos"
    page.get_by_label("Sort by").select_option("name")
    names = page.locator("#photos > li").evaluate_all("them => them.map(it => it.dataset.name)")
    assert names == [f"trip 1/photo {number}.jpg" for number in (19, 191, 193, 195, 197, 199)]


def test_reasons_are_shown_and_a_hostile_name_is_text(page: "Page") -> None:
    page.get_by_label("Name contains").fill("onerror")
    photo = page.locator("#photos > li")
    assert photo.count() == 1
    assert "<img src=x onerror=alert(1)>" in photo.locator("h2").inner_text()
    assert "Noise" in photo.inner_text()
    photo.locator("summary").focus()
    page.keyboard.press("Enter")
    assert "sharp (sharpness 7, theirs 5 to 8)" in photo.inner_text()
    assert photo.locator("[role=img]").get_attribute("aria-label") == "1 of 5 stars"
    assert page.locator("#photos img").evaluate("it => it.complete && it.naturalWidth > 0")


def test_photos_come_as_one_scrolls(page: "Page") -> None:
    assert page.locator("#photos > li").count() < 200
    for _ in range(20):
        page.mouse.wheel(0, 5000)
        page.wait_for_timeout(50)
    page.locator("#photos > li").nth(199).wait_for(state="attached")
    assert page.locator("#more").is_hidden()


def test_on_a_phone_nothing_is_cut_off(browser: "Browser", gallery: Path) -> None:
    with page_of(browser, PHONE, dark=True) as page:
        page.goto(gallery.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
        assert page.get_by_label("Sort by").is_hidden()
        page.get_by_text("Sort and filter").click()
        assert page.get_by_label("Sort by").is_visible()
        box = page.locator("#photos > li").first.bounding_box()
        assert box
        assert box["width"] > PHONE[0] * 0.9


def test_without_scripts_the_photos_are_there(browser: "Browser", gallery: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(gallery.as_uri())
    assert page.locator("#photos > li").count() == 200
    assert page.locator("#photos > li").first.is_visible()
    assert page.get_by_label("Sort by").is_hidden()
    context.close()


def test_many_photos_are_sorted_at_once(browser: "Browser", tmp_path: Path) -> None:
    number = times(2_000, 10_000)
    path = tmp_path / "many.html"
    path.write_text(gallery_of(number), encoding="utf-8")
    with page_of(browser) as page:
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        assert page.locator("#count").inner_text() == f"{number} photos"
        page.get_by_label("Sort by").select_option("name")
        assert page.locator("#photos > li").count() <= 300
        decoded = page.evaluate("Array.from(document.images).filter(it => it.complete && it.naturalWidth).length")
        assert 0 < decoded < 300
        assert page.locator("#photos > li").nth(1).get_attribute("data-name") == "trip 0/photo 2.jpg"
