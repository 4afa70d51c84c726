"""What becomes of a sidecar when we say something in it, or take it back: bytes in, bytes out.

What we say stands in an rdf:Description of its own at the end, so that taking it out gives the bytes of before. Where
another program has written the sidecar anew since, ours is found wherever it stands by then. Of what is not ours only
`xmp:Rating` is ever touched, and only where no person has rated: absent, 0, or stars that we wrote and nobody changed.
Each edit is read back; if anything else than was meant has changed, it is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from photoqual.errors import UnusableSidecar
from photoqual.photos.xmp import NAMESPACE, STARS_WRITTEN, UNRATED, XMP, parse_number
from photoqual.rating.sidecars.packet import OURS, RATING, Block, Packet, Span, Statement, parse

STARS_BEFORE = "StarsBefore"
"""The `xmp:Rating` of nobody that ours took the place of, such as 0."""
RATED_AT, CREATED = "RatedAt", "Created"
REFUSED = "xmp_edit_refused"
_FRAME = b"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="photoqual">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 </rdf:RDF>
</x:xmpmeta>
"""
_RDF_NAMES = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MARGIN = re.compile(rb"(?<=\n)[ \t]{0,100}\Z")
_NEXT_LINE = re.compile(rb"(\r?\n)([ \t]{0,100})(?=\S)")
Edit = tuple[int, int, bytes]


class Stars(StrEnum):
    """What became of the stars: written, the same as before, left to the person who gave others, or taken back because
    a person has given some elsewhere by now.
    """

    written = "written"
    unchanged = "unchanged"
    kept = "kept"
    withdrawn = "withdrawn"


@dataclass(frozen=True)
class Merged:
    """The sidecar to write, and what became of the stars; None where they were not asked for."""

    data: bytes
    stars: Stars | None


@dataclass(frozen=True)
class _Plan:
    """The rating that a sidecar is to have: `text` None for none. `written` and `before` are what we say of it."""

    text: str | None
    written: str | None = None
    before: str | None = None
    outcome: Stars | None = None


def fresh(said: Mapping[str, str], stars: int | None, elsewhere: float | None = None) -> Merged:
    """Return a new sidecar that says `said`, as `merge` does for one that exists."""
    return merge(_FRAME, {**said, CREATED: "True"}, stars, elsewhere)


def merge(data: bytes, said: Mapping[str, str], stars: int | None, elsewhere: float | None = None) -> Merged:
    """Return the sidecar `data` with what we say (`said`, by name) in place of what we said before.

    `stars` become its `xmp:Rating`, None leaves that alone. `elsewhere` is what a person gave the photo in another
    place. Bytes stay the same where only the time of the rating would change. Raise UnusableSidecar.
    """
    packet = parse(data)
    plan = _plan(packet, stars, elsewhere)
    told = {name: _plain(value) for name, value in said.items()}
    if CREATED in packet.ours:
        told[CREATED] = packet.ours[CREATED]
    told |= {name: value for name, value in ((STARS_WRITTEN, plan.written), (STARS_BEFORE, plan.before)) if value}
    if _timeless(told) == _timeless(packet.ours) and plan.text == _text(packet):
        return Merged(data, plan.outcome)
    return Merged(_checked(packet, _edits(packet, told, plan.text), told, plan.text), plan.outcome)


def remove(data: bytes) -> bytes | None:
    """Return the sidecar `data` without what we wrote; None where we created it and nothing else is in it.

    Raise UnusableSidecar.
    """
    packet = parse(data)
    if not packet.ours:
        return data
    text = _restored(packet) if _is_ours(packet) else _text(packet)
    after = _checked(packet, _edits(packet, {}, text), {}, text)
    alone = CREATED in packet.ours and packet.others == 0 and text is None and not parse(after).ratings
    return None if alone else after


def _plan(packet: Packet, stars: int | None, elsewhere: float | None) -> _Plan:
    ours, text, mine = packet.ours, _text(packet), _is_ours(packet)
    as_is = _Plan(text, ours.get(STARS_WRITTEN), ours.get(STARS_BEFORE)) if mine else _Plan(text)
    if stars is None:
        return as_is
    if mine and elsewhere is not None and elsewhere != parse_number(text or ""):
        return _Plan(_restored(packet), outcome=Stars.withdrawn)
    if elsewhere is not None or not (mine or _is_unrated(packet)):
        return _Plan(as_is.text, as_is.written, as_is.before, Stars.kept)
    if mine and parse_number(text or "") == stars:
        return _Plan(as_is.text, as_is.written, as_is.before, Stars.unchanged)
    return _Plan(str(stars), str(stars), as_is.before if mine else text, Stars.written)


def _is_unrated(packet: Packet) -> bool:
    """Tell whether nobody has rated, as far as this sidecar tells: a rating that is not understood is somebody's."""
    return len(packet.ratings) <= 1 and packet.read.problem is None and packet.read.rating in (None, UNRATED)


def _is_ours(packet: Packet) -> bool:
    """Tell whether the stars are those that we wrote."""
    ratings = packet.ratings
    return len(ratings) == 1 and parse_number(ratings[0].text or "") == parse_number(packet.ours.get(STARS_WRITTEN, ""))


def _restored(packet: Packet) -> str | None:
    return packet.ours.get(STARS_BEFORE)


def _text(packet: Packet) -> str | None:
    """Return the `xmp:Rating` as it is written, None for none; of several, the first."""
    return (packet.ratings[0].text or "") if packet.ratings else None


def _edits(packet: Packet, told: Mapping[str, str], text: str | None) -> list[Edit]:
    """Return what to put where, so that we say `told`, nothing for {}, and the rating is `text`."""
    own = [block for block in packet.blocks if _is_whole(packet, block)]
    outside = [block for block in packet.blocks if block not in own]
    edits: list[Edit] = []
    for block in outside:
        gone = [statement.span for statement in block.statements if statement.name.startswith(OURS)]
        edits += [(*span, b"") for span in gone + (block.names if gone else [])]
    rating = next((statement for block in outside for statement in block.statements if statement.name == RATING), None)
    if rating is not None and text is None:
        edits.append((*rating.span, b""))
    elif rating is not None and text != rating.text and text is not None and rating.text is not None:
        edits.append(_valued(packet, rating, text))
    if not told:
        return edits + [(*_with_its_line(packet.data, block), b"") for block in own]
    ours = _rendered(packet, told, None if rating is not None else text)
    if own:
        first, *rest = own
        edits.append((first.start, first.end, ours))
        return edits + [(*_with_its_line(packet.data, block), b"") for block in rest]
    return [*edits, _inserted(packet, ours)]


def _is_whole(packet: Packet, block: Block) -> bool:
    """Tell whether all of `block` is ours."""
    mine = _is_ours(packet) and STARS_BEFORE not in packet.ours
    ours = [statement for statement in block.statements if statement.name.startswith(OURS)]
    rest = [statement for statement in block.statements if statement.name == RATING]
    return bool(ours) and not block.others and (mine or not rest)


def _valued(packet: Packet, rating: Statement, text: str) -> Edit:
    """Return the edit that gives `rating` the value `text` where it stands."""
    start, end = rating.value
    if start == end and packet.data[start - 2 : start] == b"/>":
        raise UnusableSidecar(REFUSED, "Its rating is an empty tag.")
    return start, end, _escaped(text).encode()


def _rendered(packet: Packet, told: Mapping[str, str], rating: str | None) -> bytes:
    """Return the rdf:Description that says `told`, and the rating where it has no other place."""
    about = packet.blocks[0].about if packet.blocks else ""
    lines = [f'<rdf:Description rdf:about="{_escaped(about)}"']
    if not packet.prefixed:
        lines.append(f'xmlns:rdf="{_RDF_NAMES}"')
    lines.append(f'xmlns:photoqual="{NAMESPACE}"')
    lines += [f'photoqual:{name}="{_escaped(value)}"' for name, value in told.items()]
    if rating is not None:
        lines += [f'xmlns:xmp="{XMP[1:-1]}"', f'xmp:Rating="{_escaped(rating)}"']
    newline = "\r\n" if b"\r\n" in packet.data else "\n"
    return f"{newline}    ".join(lines).encode() + b"/>"


def _inserted(packet: Packet, ours: bytes) -> Edit:
    """Return the edit that puts `ours` at the end of what rdf:RDF holds, on lines of its own where that tag has one."""
    data, (begin, end) = packet.data, packet.inside
    if data[begin - 2 : begin] == b"/>":
        name = re.split(rb"[\s/>]", data[data.rindex(b"<", 0, begin) + 1 : begin], maxsplit=1)[0]
        return begin - 2, begin, b">" + ours + b"</" + name + b">"
    margin = _MARGIN.search(data, max(0, end - 200), end)
    if margin is None:
        return end, end, ours
    newline = b"\r\n" if data[: margin.start()].endswith(b"\r\n") else b"\n"
    return end, end, b" " + ours + newline + margin[0]


def _with_its_line(data: bytes, block: Block) -> Span:
    """Return what `_inserted` put there for `block`: it, or its lines."""
    before = _MARGIN.search(data, max(0, block.start - 200), block.start)
    after = _NEXT_LINE.match(data, block.end)
    if before is not None and after is not None and before[0] == after[2] + b" ":
        return block.start - 1, after.end()
    return block.start, block.end


def _checked(packet: Packet, edits: list[Edit], told: Mapping[str, str], text: str | None) -> bytes:
    """Return the data of `packet` with `edits` made. Raise UnusableSidecar where that gave anything but what was meant."""
    data = packet.data
    for start, end, new in sorted(edits, reverse=True):
        data = data[:start] + new + data[end:]
    try:
        after = parse(data)
    except UnusableSidecar:
        after = Packet(data)
    if after.digest != packet.digest or after.ours != dict(told) or _text(after) != text:
        raise UnusableSidecar(REFUSED, "It is built in a way that it cannot be changed without changing too much.")
    return data


def _timeless(told: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in told.items() if name != RATED_AT}


def _plain(text: str) -> str:
    """Return `text` on one line, without what XML cannot hold."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _escaped(text: str) -> str:
    for letter, escape in {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}.items():
        text = text.replace(letter, escape)
    return text.replace("\n", "&#10;").replace("\r", "&#13;").replace("\t", "&#9;")
