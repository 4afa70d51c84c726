"""Pages: one file that needs nothing else, in which hostile text stays text."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from jinja2 import UndefinedError

from photoqual.errors import DataError
from photoqual.pages.render import (
    _environment,
    compact,
    decimal,
    inline_jpeg,
    inline_png,
    percent,
    render,
    signed,
    when,
)
from tests.conftest import encoded, scene

HOSTILE = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>"
_VOID = {"meta", "img", "source", "br", "link", "input"}


class Seen(HTMLParser):
    """What a browser would find: tags, attributes, text; and whether every tag is closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing; open: {self.open}"

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_self_contained(page: str) -> Seen:
    """Check that `page` loads nothing, runs nothing and closes its tags; return what was seen."""
    seen = Seen(page)
    assert seen.open == []
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(seen.tags)
    assert [name for name, _ in seen.attributes if name.startswith("on")] == []
    addresses = [value for name, value in seen.attributes if name in ("src", "srcset", "href", "action", "data")]
    assert [value[:60] for value in addresses if not value.startswith("data:image/")] == []
    assert "url(" not in page
    assert "@import" not in page
    return seen


def from_text(text: str, **values: object) -> str:
    return _environment().from_string('{% import "macros.html" as show %}' + text).render(**values)


def test_base_page_forbids_everything_but_its_own_style_and_pictures() -> None:
    page = render("base.html")
    assert_self_contained(page)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert 'name="viewport"' in page


MACROS = {
    "table": '{{ show.table([x, "b"], [[x, x]], caption=x) }}',
    "stacked table": '{{ show.table([x, "b"], [[x, x]], stacked=true) }}',
    "figure": '{{ show.figure("data:image/png;base64,AA", x, x) }}',
    "badge": '{{ show.badge("good", x) }}',
    "notice": '{{ show.notice("bad", x, x) }}',
    "facts": "{{ show.facts([(x, x)]) }}",
    "photos": '{{ show.photos([("data:image/jpeg;base64,AA", x, [x]), (none, x, [x])]) }}',
}


@pytest.mark.parametrize("name", MACROS)
def test_macros_escape_what_they_are_given(name: str) -> None:
    seen = assert_self_contained(from_text(MACROS[name], x=HOSTILE))
    assert HOSTILE in seen.text + " ".join(value for _, value in seen.attributes)
    assert "alert(1)" in seen.text


def test_macros_nest_without_escaping_one_another() -> None:
    page = from_text('{{ show.table(["a", "b"], [["x", show.badge("bad", "broken")]]) }}')
    assert '<span class="badge bad">✗ broken</span>' in page


def test_a_figure_has_a_version_for_dark_pages() -> None:
    page = from_text('{{ show.figure("data:image/png;base64,AA", "seen", dark="data:image/png;base64,BB") }}')
    assert '<source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,BB">' in page
    assert "bare" not in page


def test_a_value_that_a_template_misses_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("verdict.html")
    with pytest.raises(UndefinedError):
        from_text("{{ nobody_gave_this }}")


def test_pictures_become_data_uris() -> None:
    assert inline_png(encoded(scene(1), "PNG")).startswith("data:image/png;base64,iVBOR")
    assert inline_jpeg(encoded(scene(1))).startswith("data:image/jpeg;base64,/9j/")
    for inline, data in ((inline_png, encoded(scene(1))), (inline_jpeg, b"<svg onload=alert(1)>"), (inline_png, b"")):
        with pytest.raises(DataError, match="not a"):
            inline(data)


NUMBERS = [
    (decimal(0.12345), "0.123"),
    (decimal(-0.0001), "0.000"),
    (decimal(12345.6, 1), "12,345.6"),
    (decimal(None), "–"),
    (decimal(float("nan")), "–"),
    (signed(0.03), "+0.030"),
    (signed(-0.03), "−0.030"),
    (signed(-0.0001), "0.000"),
    (percent(0.0534, 1), "5.3%"),
    (percent(None), "–"),
    (compact(0.0347), "0.035"),
    (compact(4.0), "4"),
    (compact(1.117), "1.12"),
    (compact(46.62), "46.6"),
    (compact(1234.4), "1,234"),
    (compact(100.0), "100"),
    (compact(-0.05), "−0.05"),
    (compact(0.0), "0"),
    (when("2026-11-03T14:03:11+00:00"), "2026-11-03 14:03 UTC"),
    (when("soon"), "soon"),
    (when(None), "–"),
]


@pytest.mark.parametrize(("found", "expected"), NUMBERS)
def test_numbers_and_dates_for_people(found: str, expected: str) -> None:
    assert found == expected


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_can_be_read_on_light_and_on_dark_pages() -> None:
    """Contrast of at least 4.5 : 1, as the Web Content Accessibility Guidelines ask (level AA)."""
    themes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", render("base.html"), re.DOTALL)
    ]
    assert len(themes) == 2
    for theme in themes:
        pairs = [(text, ground) for text in ("text", "soft") for ground in ("card", "ground")]
        pairs += [(kind, f"{kind}-ground") for kind in ("good", "bad", "wait", "info")]
        pairs += [("text", f"{kind}-ground") for kind in ("good", "bad", "wait", "info")]
        for text, ground in pairs:
            assert _contrast(theme[text], theme[ground]) >= 4.5, (text, ground)


def test_headings_of_the_verdict_do_not_skip_a_level() -> None:
    source = _environment().loader.get_source(_environment(), "verdict.html")[0]  # type: ignore[union-attr]
    levels = [int(level) for level in re.findall(r"<h([1-6])>", source)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
