"""Parts of the app without a browser: names, limits, what is refused at the door, uploads in memory, the examples."""

import asyncio
import io
import socket
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from photoqual.app import examples, guard_uploads
from photoqual.app.guard_uploads import HELD_BYTES, Pace, Refusals, UploadGuard, same_origin, session_of
from photoqual.app.limits import A_MINUTE, AT_ONCE, admitted, is_loopback
from photoqual.app.options import Options
from photoqual.app.serve import check, free_port
from photoqual.app.shown import plain, predictions, predictions_table, stars
from photoqual.app.taste_photos import Photo, few_of, from_uploads
from photoqual.app.taste_run import _handed_over
from photoqual.app.uploads import Answered, Refused, answer, kept, opened, shown_name
from photoqual.errors import ConfigError, ModelError, SourceError
from photoqual.models.scorer import Scorer
from photoqual.rating.rater import Rating
from photoqual.taste.ratings import Rated, read_ratings
from tests.conftest import encoded, scene
from tests.model.registered import RED, tiny_folder

NAMES = [
    ("photo.jpg", "photo.jpg"),
    ("../../../etc/passwd.jpg", "passwd.jpg"),
    ("C:\\Windows\\evil.png", "evil.png"),
    ("a\0b.jpg", "ab.jpg"),
    ("line\nbreak\x1b[31m.jpg", "line?break?[31m.jpg"),
    ("right\u202eto-left.jpg", "right?to-left.jpg"),
    ("..", "a photo"),
    ("", "a photo"),
    ("x" * 500 + ".jpg", "x" * 59 + "…"),
]


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_names_are_shown_short_and_harmless(name: str, shown: str) -> None:
    assert shown_name(name) == shown


ADMITTED = [
    ("a few", 5, 0, (5, 0)),
    ("five hundred at once", 500, 0, (AT_ONCE, 0)),
    ("the rest of the minute", 150, A_MINUTE - 30, (30, 30)),
    ("none left", 1, A_MINUTE, (0, 30)),
    ("none wanted", 0, A_MINUTE, (0, 0)),
]


@pytest.mark.parametrize(("case", "wanted", "before", "expected"), ADMITTED, ids=[row[0] for row in ADMITTED])
def test_so_many_are_rated_at_once_and_in_a_minute(
    case: str, wanted: int, before: int, expected: tuple[int, int]
) -> None:
    times = [70.0] * before
    assert admitted(wanted, times, 100.0) == expected
    assert admitted(wanted, times, 131.0)[0] == min(wanted, AT_ONCE), "a minute later all may again"


def test_a_session_that_uploads_too_fast_has_to_wait_and_others_do_not() -> None:
    now = [0.0]
    pace = Pace(2, clock=lambda: now[0])
    assert [pace.admit("a"), pace.admit("a"), pace.admit("a"), pace.admit("b")] == [True, True, False, True]
    now[0] = 61.0
    assert pace.admit("a")


DOORS = [
    ("an upload", "PUT", "/_stcore/upload_file/me/1", {"content-length": "10"}, 0, 200),
    ("too much held", "PUT", "/_stcore/upload_file/me/1", {"content-length": "10"}, HELD_BYTES, 413),
    ("no length", "PUT", "/_stcore/upload_file/me/1", {}, 0, 411),
    ("a false length", "PUT", "/_stcore/upload_file/me/1", {"content-length": "-1"}, 0, 411),
    ("behind a prefix", "PUT", "/photos/_stcore/upload_file/me/1", {}, 0, 411),
    ("a page", "GET", "/champion", {}, HELD_BYTES, 200),
]


@pytest.mark.parametrize(("case", "method", "path", "headers", "held", "status"), DOORS, ids=[row[0] for row in DOORS])
def test_the_door_refuses_uploads_that_are_too_many_or_too_large(
    case: str, method: str, path: str, headers: dict[str, str], held: int, status: int
) -> None:
    refusals = Refusals()
    guard = UploadGuard(_inside, held=lambda: held, refusals=refusals)
    scope = {"type": "http", "method": method, "path": path, "headers": _raw(headers)}
    assert asyncio.run(_asked(guard, scope))["status"] == status
    assert refusals.take("me") == (status != 200)
    assert refusals.take("me") == 0


def test_the_door_refuses_the_601st_upload_of_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_uploads, "UPLOADS_A_MINUTE", 3)
    guard = UploadGuard(_inside, held=lambda: 0, refusals=Refusals())
    path = "/_stcore/upload_file/me/1"
    scope = {"type": "http", "method": "PUT", "path": path, "headers": _raw({"content-length": "1"})}
    assert [asyncio.run(_asked(guard, scope))["status"] for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        (None, True),
        ("http://127.0.0.1:8501", True),
        ("http://127.0.0.1:9999", False),
        ("http://evil.example", False),
        ("null", False),
    ],
)
def test_pages_of_other_sites_get_no_connection(origin: str | None, welcome: bool) -> None:
    headers = {"host": "127.0.0.1:8501"} | ({} if origin is None else {"origin": origin})
    assert same_origin(headers) is welcome
    scope = {"type": "websocket", "path": "/_stcore/stream", "headers": _raw(headers)}
    told = asyncio.run(_asked(UploadGuard(_inside, held=lambda: 0), scope))
    assert told.get("code") == (None if welcome else 1008)


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _inside(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def _asked(guard: UploadGuard, scope: Any) -> dict[str, Any]:
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        told.append(message)

    await guard(scope, receive, send)
    return dict(told[0])


def test_the_session_is_read_from_the_address() -> None:
    assert session_of("/_stcore/upload_file/abc/1-2") == "abc"
    assert session_of("/_stcore/health") is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),  # noqa: S104
        ("10.0.0.5", False),
        ("nas", False),
    ],
)
def test_loopback_is_told_from_the_network(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer.load(tiny_folder(tmp_path_factory.mktemp("model"), RED))


class Sent(io.BytesIO):
    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(data)
        self.name = name


def test_uploads_are_answered_in_order_and_kept_nowhere(scorer: Scorer, tmp_path: Path) -> None:
    with_gps = Image.Exif()
    with_gps[0x010E] = "a secret"
    uploads = [
        Sent("good.jpg", encoded(scene(1, (1200, 800)), exif=with_gps.tobytes(), comment=b"a secret")),
        Sent("no.jpg", b"text"),
        Sent("empty.jpg", b""),
        *(Sent(f"{index}.png", encoded(scene(index), "PNG")) for index in range(9)),
    ]
    told = list(answer(scorer, uploads, "tiny"))
    assert [item.name for item in told] == [upload.name for upload in uploads]
    assert [isinstance(item, Refused) for item in told[:4]] == [False, True, True, False]
    first = told[0]
    assert isinstance(first, Answered)
    assert first.rating.model == "tiny"
    assert b"a secret" not in first.picture
    assert Image.open(io.BytesIO(first.picture)).size == (960, 640)
    assert not list(tmp_path.iterdir())


def test_kept_uploads_lie_under_their_digest_whatever_they_are_called(tmp_path: Path) -> None:
    data = encoded(scene(1))
    for name, suffix in (("../../climb.JPG", ".jpg"), ("x.php", ".bin"), ("", ".bin")):
        place = kept(tmp_path / "kept", data, name)
        assert (place.parent, place.suffix, place.read_bytes()) == (tmp_path / "kept", suffix, data)
    full = opened(Sent("photo.jpg", data), keep=Path("/dev/full/kept"))
    assert isinstance(full, Refused)
    assert full.message.startswith("It could not be kept")


def rating(score: float, defects: dict[str, float]) -> Rating:
    return Rating("photo", score, 4, True, None, "good", defects, [], [], {}, "tiny")


def test_the_five_likeliest_predictions_come_first() -> None:
    told = predictions(
        rating(0.7, {"noise": 0.9, "motion_blur": 0.1, "defocus": 0.2, "too_dark": 0.05}), ("bad", "good")
    )
    assert [name for name, _ in told] == ["noise", "good", "bad", "defocus", "motion blur"]
    assert "70%" in predictions_table(told)
    assert predictions(rating(0.2, {}), ("bad", "good")) == [("bad", 0.8), ("good", 0.2)]
    assert 'aria-label="3 of 5 stars"' in stars(3)


@pytest.mark.parametrize(
    "text", ["![x](http://evil.example/a.png)", "<b>", "$x$", ":red[x]", ":material/star:", "a_b*c*", "`x`"]
)
def test_a_strangers_text_is_no_markdown(text: str) -> None:
    shown = plain(text)
    assert shown.replace("\\", "") == text
    assert all(shown[place - 1] == "\\" for place, letter in enumerate(shown) if letter in "<>[]()!$:*_`")


def test_examples_are_the_demos_photographs_or_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(edition: int) -> None:
        raise SourceError("The demo's photographs are not installed.")

    examples.examples.cache_clear()
    monkeypatch.setattr(examples._demo_photos, "photos", nothing)
    drawn = examples.examples()
    assert [example.name for example in drawn] == [f"Drawing {number}" for number in range(1, 7)]
    assert len({example.data for example in drawn}) == 6
    examples.examples.cache_clear()


def test_ratings_of_uploads_reach_the_learner_without_a_file(tmp_path: Path) -> None:
    data, path = encoded(scene(1)), tmp_path / "on disk, with a comma.png"
    path.write_bytes(data)
    with _handed_over([(data, 5), (path, 1)]) as (table, inherited):
        first, second = read_ratings(Path(table))
        assert isinstance(first, Rated)
        assert (first.target, first.path.read_bytes(), first.path.read_bytes()) == (1.0, data, data)
        assert second == Rated(path, -1.0)
        assert len(inherited) == 2
    assert list(tmp_path.iterdir()) == [path]


def test_few_photos_are_taken_evenly_and_uploads_lose_what_is_no_photo() -> None:
    photos = [Photo(Path(f"{index}.jpg")) for index in range(100)]
    assert [str(photo.content) for photo in few_of(photos, 4)] == ["0.jpg", "25.jpg", "50.jpg", "75.jpg"]
    found, notes = from_uploads([Sent("a.jpg", encoded(scene(1))), Sent("b.jpg", b"no")], None)
    assert (len(found), notes) == (
        1,
        ["b.jpg: It is not a photo that can be read here. JPEG, PNG, WebP, TIFF, GIF, AVIF and BMP can."],
    )


def test_what_no_page_could_work_with_is_said_before_the_server_starts(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a model folder"):
        check(Options(model=str(tmp_path)))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made"):
        check(Options(keep_uploads=tmp_path / "file/kept"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="Address already in use"):
            free_port("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ConfigError, match=r"cannot listen on 203\.0\.113\.7"):
        free_port("203.0.113.7", None)
