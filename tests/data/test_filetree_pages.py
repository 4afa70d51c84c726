"""Index pages, globs and dates: what a file tree's pages and paths say, and what is refused of it."""

import json
from datetime import UTC, datetime

import pytest

from photoqual.config import FiletreeSource, PhotosParams
from photoqual.errors import ConfigError
from photoqual.sources import _paths
from photoqual.sources._globs import Glob
from photoqual.sources._index_pages import Entry, NotAnIndex, read
from photoqual.sources.filetree import Filetree
from photoqual.sources.records import Skipped
from tests.web import apache_page, apache_table, nginx_page

URL = "http://photos.example/pano/a%20b/"
HERE = "/pano/a b/"
LONG = "x" * 70 + ".jpg"
NGINX = nginx_page(
    HERE,
    [("été/", "17-May-2024 06:19", "-"), (LONG, "17-May-2024 06:19", "812345"), ("1.jpg", "17-May-2024 06:20", "17")],
)
APACHE = [
    ("sub/", "2024-05-17 06:19", "-"),
    ("1.jpg", "2024-05-17 06:20", "1.2K"),
    ("a+b#c.jpg", "2024-05-17 06:20", "3"),
]
CADDY = """<tr class="file"><td></td><td><a href="./1%20%3C.jpg"><svg></svg><span class="name">1 &lt;.jpg</span></a></td>
<td class="size" data-size="4096"><div class="sizebar"><div class="sizebar-text">4.0 KiB</div></div></td>
<td class="timestamp hideable"><time datetime="2024-05-17T06:19:01Z">05/17/2024 06:19:01 AM +00:00</time></td></tr>"""
ROW = {"name": "1.jpg", "size": 17, "mod_time": "2024-05-17T06:19:00.5Z", "is_dir": False, "is_symlink": False}
PAGES: list[tuple[str, str, str, list[Entry]]] = [
    (
        "nginx",
        "text/html",
        NGINX,
        [
            Entry("1.jpg", False, 17, "17-May-2024 06:20 17"),
            Entry(LONG, False, 812345, "17-May-2024 06:19 812345"),
            Entry("été", True, None, "17-May-2024 06:19 -"),
        ],
    ),
    (
        "Apache",
        "text/html",
        apache_page(HERE, APACHE),
        [
            Entry("1.jpg", False, None, "2024-05-17 06:20 1.2K"),
            Entry("a+b#c.jpg", False, 3, "2024-05-17 06:20 3"),
            Entry("sub", True, None, "2024-05-17 06:19 -"),
        ],
    ),
    (
        "Apache's table",
        "text/html",
        apache_table(HERE, APACHE),
        [
            Entry("1.jpg", False, None, "2024-05-17 06:20 1.2K"),
            Entry("a+b#c.jpg", False, None, "2024-05-17 06:20 3"),
            Entry("sub", True, None, "2024-05-17 06:19 -"),
        ],
    ),
    (
        "Caddy's HTML",
        "text/html",
        f'<a href="/">root</a><a href="../">up</a><table>{CADDY}</table>',
        [Entry("1 <.jpg", False, None, "4096 4.0 KiB 2024-05-17T06:19:01Z 05/17/2024 06:19:01 AM +00:00")],
    ),
    (
        "Caddy's JSON",
        "application/json",
        json.dumps([{**ROW, "name": "s/", "is_dir": True, "is_symlink": True}, ROW, {**ROW, "name": "2.jpg", "is_symlink": True}]),
        [
            Entry("1.jpg", False, 17, "17 2024-05-17T06:19:00.5Z", exact=True),
            Entry("2.jpg", False, 17, None, exact=True, linked=True),
            Entry("s", True, None, None, exact=True, linked=True),
        ],
    ),
    ("Caddy's empty folder", "application/json", "null", []),
    (
        "nginx's JSON",
        "application/json",
        '[{"name":"d","type":"directory","mtime":"Fri, 17 May 2024 06:19:00 GMT"},{"name":"1","type":"file","size":2}]',
        [Entry("1", False, 2), Entry("d", True, None, "None Fri, 17 May 2024 06:19:00 GMT")],
    ),
    ("a plain list", "text/html", '<ul><li><a href="1.jpg">1</a></li><li><a href="d/">d</a> 2 files</li></ul>', [Entry("1.jpg", False), Entry("d", True)]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "page", "expected"), [one[1:] for one in PAGES], ids=[one[0] for one in PAGES])
def test_each_servers_pages_are_read(kind: str, page: str, expected: list[Entry]) -> None:
    assert read(page.encode(), kind, URL) == expected


LINKS: list[tuple[str, str | None]] = [
    *((link, None) for link in ("../", "..", "./", "/", "/pano/", "/pano/a%20b/", "?C=N;O=D", "#top", "", "../../")),
    *((link, "") for link in ("1.jpg", "./1.jpg", "/pano/a%20b/1.jpg", "http://photos.example/pano/a b/1.jpg")),
    ("//photos.example/pano/a%20b/1.jpg", ""),
    ("%2e%2e/", "unsafe_name"),
    (".%2E/", "unsafe_name"),
    ("%252e%252e/", "unsafe_name"),
    ("..%2f..%2fetc%2fpasswd", "unsafe_name"),
    ("../../../etc/passwd", "leaves_folder"),
    ("..\\..\\windows", "unsafe_name"),
    ("..%5C..%5Cwindows", "unsafe_name"),
    ("/etc/passwd", "leaves_folder"),
    ("/pano/a%20b/../c/1.jpg", "leaves_folder"),
    ("deeper/1.jpg", "leaves_folder"),
    ("1%00.jpg", "unsafe_name"),
    ("1%0A.jpg", "unsafe_name"),
    ("1%C2%85.jpg", "unsafe_name"),
    ("caf%E9.jpg", "name_is_not_utf8"),
    ("x" * 4000 + ".jpg", "name_too_long"),
    ("1.jpg?token=1", "link_with_query"),
    ("http://elsewhere.example/pano/a%20b/1.jpg", "other_host"),
    ("//169.254.169.254/latest/", "other_host"),
    ("http://photos.example:81/pano/a%20b/1.jpg", "other_host"),
    ("http://photos.example@elsewhere.example/1.jpg", "other_host"),
    ("mailto:me@photos.example", "not_http"),
    ("javascript:alert(1)", "not_http"),
    ("file:///etc/passwd", "not_http"),
    ("http://[::1/", "not_http"),
]


@pytest.mark.parametrize(("link", "expected"), LINKS, ids=[link[:40] for link, _ in LINKS])
def test_only_plain_names_below_the_folder_are_entries(link: str, expected: str | None) -> None:
    found = read(f'<a href="{link}">one</a>'.encode(), "text/html", URL)
    if expected:
        assert [event.reason for event in found if isinstance(event, Skipped)] == [expected]
        assert all(
            len(event.where) < 400 and event.where.isprintable() for event in found if isinstance(event, Skipped)
        )
    else:
        assert found == ([] if expected is None else [Entry("1.jpg", False)])


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\\b", "a\0", "a\nb", "\x9b", "\ud800", "%2e%2e", "y" * 256])
def test_hostile_names_in_json_are_passed_over_and_counted(name: str) -> None:
    assert [type(one) for one in read(json.dumps([{**ROW, "name": name}]).encode(), "application/json", URL)] == [
        Skipped
    ]


def test_a_right_to_left_mark_stays_in_the_name_but_not_in_the_log() -> None:
    name = "cat\u202egpj.exe"
    assert read(json.dumps([{**ROW, "name": name}]).encode(), "application/json", URL)[0] == Entry(
        name, False, 17, "17 2024-05-17T06:19:00.5Z", exact=True
    )
    (skipped,) = read(f'<a href="http://elsewhere.example/{name}">x</a>'.encode(), "text/html", URL)
    assert isinstance(skipped, Skipped)
    assert "\u202e" not in skipped.where


@pytest.mark.parametrize(
    ("kind", "page", "reason"),
    [
        ("image/jpeg", b"\xff\xd8", "not_a_page"),
        ("", b"", "not_a_page"),
        ("text/html", b"", "not_an_index"),
        ("application/json", b"[" * 100_000, "not_an_index"),
        ("application/json", b'{"name": "1.jpg"}', "not_an_index"),
        ("application/json", b'["1.jpg"]', "not_an_index"),
        ("application/json", b'[{"name": 1}]', "not_an_index"),
        ("application/json", b'[{"name": "1", "size": 1' + b"0" * 5000 + b"}]", "not_an_index"),
    ],
)
def test_what_is_no_index_page_says_so(kind: str, page: bytes, reason: str) -> None:
    with pytest.raises(NotAnIndex) as error:
        read(page, kind, URL)
    assert error.value.reason == reason


def test_a_page_of_a_hundred_thousand_nested_tags_is_read_or_refused() -> None:
    assert read(b"<div>" * 100_000 + b'<a href="1.jpg">1</a>', "text/html", URL) in ([], [Entry("1.jpg", False)])


@pytest.mark.parametrize(
    ("pattern", "picked", "passed"),
    [
        ("*.jpg", ["1.jpg", "A.JPG"], ["a/1.jpg", "1.jpeg"]),
        ("**/*.jpg", ["1.jpg", "a/b/c/1.jpg"], ["a/1.png"]),
        ("*/*/stitched.jpg", ["2024/a/stitched.jpg"], ["2024/stitched.jpg", "2024/a/b/stitched.jpg", "2024/a/slice_1.jpg"]),
        ("2024-*/**/t[12].jpg", ["2024-05/t1.jpg", "2024-05/x/y/t2.jpg"], ["2023/t1.jpg", "2024-05/t3.jpg"]),
        ("a/**", ["a/1", "a/b/2"], ["b/1"]),
        ("**/a/**/b.jpg", ["a/b.jpg", "x/a/y/b.jpg", "a/a/b.jpg"], ["b.jpg", "x/b.jpg"]),
        ("?.jp[!g]", ["1.jpe"], ["1.jpg", "11.jpe"]),
    ],
)  # fmt: skip
def test_a_glob_picks_by_whole_names(pattern: str, picked: list[str], passed: list[str]) -> None:
    glob = Glob(pattern)

    def picks(path: str) -> bool:
        states = glob.start
        for name in path.split("/"):
            states = glob.step(states, name)
        return glob.picks(states)

    assert [path for path in picked + passed if picks(path)] == picked


def test_folders_that_can_hold_nothing_are_known_beforehand_and_no_glob_is_slow() -> None:
    glob = Glob("*/2024/*.jpg")
    assert glob.step(glob.step(glob.start, "x"), "2024")
    assert not glob.step(glob.step(glob.start, "x"), "2023")
    slow = Glob("/".join(["**", "*a*a*a*a*a*a*b"] * 6))
    states = slow.start
    for _ in range(200):
        states = slow.step(states, "a" * 250)
    assert not slow.picks(states)


DATE = r"(?P<year>\d+)-(?P<month>\d\d)-(?P<day>\d\d)(?:[T_](?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)?)?"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("2024-05-17/pano/t.jpg", datetime(2024, 5, 17, tzinfo=UTC)),
        ("x/24-05-17T0619/t.jpg", datetime(2024, 5, 17, 6, 19, tzinfo=UTC)),
        ("2024-02-29_235959.jpg", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("2023-02-29/t.jpg", "impossible_date"),
        ("2024-13-01/t.jpg", "impossible_date"),
        ("9999999999999999999999-01-01/t.jpg", "impossible_date"),
        ("1" * 900 + "-01-01/t.jpg", "impossible_date"),
        ("pano/t.jpg", "no_date"),
    ],
)
def test_the_date_comes_from_the_path(path: str, expected: datetime | str) -> None:
    pattern = _paths.date_pattern(DATE)
    if isinstance(expected, str):
        with pytest.raises(_paths.Untold) as error:
            _paths.date(pattern, path)
        assert error.value.reason == expected
    else:
        assert _paths.date(pattern, path) == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"date_pattern": r"(\d{4})"}, "has no group called year or month or day"),
        ({"date_pattern": "("}, "is not a regular expression"),
        ({"label_pattern": "^[^/]+"}, "has no group called label"),
        ({"pattern": "/*.jpg"}, "matches no path"),
        ({"pattern": "../*.jpg"}, "matches no path"),
        ({"start": ["http://photos.example/?dir=1"]}, "is not the address of a folder"),
        ({"start": ["http://me:secret@photos.example/"]}, "is not the address of a folder"),
        ({"start": ["http://photos.example/a/../b/"]}, "is not the address of a folder"),
        ({"start": ["http://photos.example/a", "http://photos.example/a/b/"]}, "lies within another start"),
    ],
)
def test_an_option_that_cannot_be_meant_is_an_error_before_anything_is_asked(
    options: dict[str, object], said: str
) -> None:
    values = {"start": ["http://photos.example/"], **options}
    with pytest.raises(ConfigError) as error:
        list(Filetree(FiletreeSource.model_validate(values), PhotosParams()).harvest({}))
    assert said in error.value.message
    assert error.value.next_step
