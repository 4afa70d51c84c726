"""What becomes of sidecars of every program: merged, read back, undone to the byte; never a person's stars, nothing else."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from defusedxml.ElementTree import fromstring

from photoqual.errors import UnusableSidecar
from photoqual.photos.containers import MAX_PACKET_BYTES
from photoqual.photos.xmp import NAMESPACE, read_packet
from photoqual.rating.sidecars.edit import Stars, fresh, merge, remove
from photoqual.rating.sidecars.packet import parse
from tests.data.test_xmp_packets import LAUGHS, SECRET
from tests.long import times
from tests.people.sidecars import EMPTY, LIGHTROOM, PROGRAMS, sidecar_of

SAID = {
    "Score": "0.8123",
    "Stars": "4",
    "Label": "g<o>&\"'",
    "Sure": "True",
    "Model": "models:/photoqual/3",
    "RatedAt": "1",
}
RDF, XMP = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}", "{http://ns.adobe.com/xap/1.0/}"


def foreign(data: bytes) -> list[str]:
    """Return what a sidecar says that is neither ours nor the rating, told by another parser than the one that edits."""
    root = fromstring(data.strip(b"\0 \n"))
    told = []
    for block in [block for rdf in ([root] if root.tag == RDF + "RDF" else root) for block in rdf]:
        about = block.get(RDF + "about", "")
        for name, value in sorted(block.attrib.items()):
            if name not in (RDF + "about", XMP + "Rating") and NAMESPACE not in name:
                told.append(f"{about} {name}={value}")
        for child in block:
            if child.tag != XMP + "Rating" and NAMESPACE not in child.tag:
                child.tail = None
                told.append(f"{about} {ET.canonicalize(ET.tostring(child, encoding='unicode'))}")
    return told


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("stars", "ours", "outcome", "after"),
    [
        (None, None, None, None),
        (None, 4, Stars.written, "4"),
        (0, 4, Stars.written, "4"),
        ("0.0", 4, Stars.written, "4"),
        (3, 4, Stars.kept, "3"),
        (-1, 4, Stars.kept, "-1"),
        (4, 4, Stars.kept, "4"),
        ("", 4, Stars.kept, ""),
        ("five", 4, Stars.kept, "five"),
        (0, None, None, "0"),
        (2, None, None, "2"),
    ],
)
def test_a_merge_says_ours_keeps_the_rest_and_is_undone_to_the_byte(
    program: str, stars: object, ours: int | None, outcome: Stars | None, after: str | None
) -> None:
    before = sidecar_of(program, stars)
    merged = merge(before, SAID, ours)
    packet = parse(merged.data)
    assert (merged.stars, [rating.text for rating in packet.ratings]) == (outcome, [] if after is None else [after])
    assert {name: packet.ours[name] for name in SAID} == SAID
    assert ("StarsWritten" in packet.ours) == (outcome is Stars.written)
    assert foreign(merged.data) == foreign(before)
    assert merge(merged.data, {**SAID, "RatedAt": "2"}, ours).data == merged.data
    assert remove(merged.data) == before
    assert remove(before) == before


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("stars", [None, 0])
def test_stars_of_ours_follow_the_model_until_a_person_changes_them(program: str, stars: object) -> None:
    before = sidecar_of(program, stars)
    ours = merge(before, SAID, 4).data
    assert read_packet(ours).rating is None
    newer = merge(ours, {**SAID, "Stars": "2", "Score": "0.3"}, 2)
    assert (newer.stars, read_packet(newer.data).ours, remove(newer.data)) == (Stars.written, 2.0, before)
    assert merge(ours, {**SAID, "Score": "0.9"}, 4).stars is Stars.unchanged
    left = merge(ours, {**SAID, "Score": "0.9", "Stars": "5"}, None).data
    assert (read_packet(left).ours, parse(left).ours["Stars"], remove(left)) == (4.0, "5", before)
    withdrawn = merge(ours, SAID, 4, elsewhere=5.0)
    assert (withdrawn.stars, remove(withdrawn.data)) == (Stars.withdrawn, before)
    assert [rating.text for rating in parse(withdrawn.data).ratings] == ([] if stars is None else ["0"])
    copied = merge(ours, {**SAID, "Stars": "2"}, 2, elsewhere=4.0)
    assert (copied.stars, read_packet(copied.data).ours) == (Stars.kept, 4.0)

    persons = ours.replace(b':Rating="4"', b':Rating="3"').replace(b":Rating>4<", b":Rating>3<")
    assert read_packet(persons).rating == 3.0
    for data in (merge(persons, {**SAID, "Stars": "2"}, 2).data, remove(persons)):
        assert data is not None
        assert [rating.text for rating in parse(data).ratings] == ["3"]
        assert "StarsWritten" not in parse(data).ours
    assert NAMESPACE.encode() not in (remove(persons) or b"")


def test_a_rating_in_percent_is_a_persons() -> None:
    percent = LIGHTROOM.replace("{attribute}", ' xmlns:m="http://ns.microsoft.com/photo/1.0/" m:Rating="75"').encode()
    assert merge(percent, SAID, 4).stars is Stars.kept


def test_a_new_sidecar_is_deleted_only_while_it_is_ours_alone() -> None:
    for stars in (None, 4):
        made = fresh(SAID, stars).data
        assert remove(made) is None
        assert remove(merge(made, {**SAID, "Score": "0.1"}, 2).data) is None
    assert fresh(SAID, 4, elsewhere=2.0).stars is Stars.kept
    for theirs in (b'xmp:Rating="2"', b'xmp:Label="Red" xmp:Rating="4"'):
        left = remove(fresh(SAID, 4).data.replace(b'xmp:Rating="4"', theirs))
        assert left is not None
        assert NAMESPACE.encode() not in left
        assert theirs.split()[0] in left
    keyword = b'<rdf:Description rdf:about=""><k xmlns="http://example.org/">See</k></rdf:Description>\n </rdf:RDF>'
    assert b">See<" in (remove(fresh(SAID, 4).data.replace(b"</rdf:RDF>", keyword)) or b"")


def test_ours_is_found_wherever_another_program_puts_it() -> None:
    scattered = LIGHTROOM.replace("{attribute}", '\n   xmp:Rating="4"').encode()
    scattered = scattered.replace(
        b'   crs:Version="16.2"',
        f'   xmlns:q="{NAMESPACE}"\n   q:Score="0.8123" q:StarsWritten="4"\n   crs:Version="16.2"'.encode(),
    ).replace(
        b"   <dc:subject>", b"   <q:Label>good</q:Label>\n   <q:Model\n   >x</q:Model ><q:Sure/>\n   <dc:subject>"
    )
    assert remove(scattered) == sidecar_of("Lightroom").replace(
        b"</xmpMM:History>\n   <dc", b"</xmpMM:History>\n   <dc"
    )
    merged = merge(scattered, SAID, 2).data
    assert foreign(merged) == foreign(sidecar_of("Lightroom"))
    assert (parse(merged).ours, read_packet(merged).ours) == ({**SAID, "StarsWritten": "2"}, 2.0)
    assert merged.count(NAMESPACE.encode()) == 1


def test_an_empty_packet_gets_content() -> None:
    assert remove(merge(EMPTY.encode(), SAID, 4).data) == EMPTY.encode()
    closed = EMPTY.replace(">\n</rdf:RDF>", "/>").encode()
    merged = merge(closed, SAID, 4).data
    assert read_packet(merged).ours == 4.0
    assert foreign(remove(merged) or b"") == foreign(closed)


REFUSED = {
    "empty": (b"", "xmp_broken"),
    "no XML": (b"stars: 4", "xmp_broken"),
    "cut off": (sidecar_of("darktable")[:-40], "xmp_broken"),
    "two roots": (sidecar_of("darktable") + b"<a/>", "xmp_broken"),
    "entities": (LAUGHS.encode(), "xmp_broken"),
    "a file of the system": (SECRET.encode(), "xmp_broken"),
    "too deep": (sidecar_of("Lightroom").replace(b"<dc:subject>", b"<dc:subject>" + b"<a>" * 200), "xmp_broken"),
    "too large": (sidecar_of("Lightroom") + b" " * MAX_PACKET_BYTES, "xmp_too_large"),
    "UTF-16": (sidecar_of("digiKam").decode().encode("utf-16"), "xmp_not_utf8"),
    "UTF-16 without mark": (sidecar_of("Lightroom").decode().encode("utf-16-le"), "xmp_not_utf8"),
    "Latin-1": (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + EMPTY.encode(), "xmp_not_utf8"),
    "not UTF-8": (sidecar_of("digiKam").replace(b"\xc3\xab", b"\xeb"), "xmp_broken"),
    "no RDF": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "xmp_not_rdf"),
    "RDF too deep": (b"<a><b>" + EMPTY.encode() + b"</b></a>", "xmp_not_rdf"),
    "RDF twice": (b"<a>" + EMPTY.partition(">")[2].rpartition("<")[0].encode() * 2 + b"</a>", "xmp_not_rdf"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_edited_is_refused_with_a_reason(name: str) -> None:
    data, reason = REFUSED[name]
    for edit in (lambda: merge(data, SAID, 4), lambda: remove(data)):
        with pytest.raises(UnusableSidecar) as refused:
            edit()
        assert refused.value.reason == reason


def test_what_looks_like_an_attribute_after_a_tag_is_none() -> None:
    data = sidecar_of("Lightroom").replace(b'(Macintosh)"', b'(Macintosh)" >and="text"')
    assert remove(merge(data, SAID, 4).data) == data


def test_two_ratings_are_nobodys_to_change() -> None:
    data = sidecar_of("Lightroom", 0).replace(b"<dc:subject>", b"<xmp:Rating>0</xmp:Rating><dc:subject>")
    merged = merge(data, SAID, 4)
    assert (merged.stars, remove(merged.data)) == (Stars.kept, data)


@pytest.mark.parametrize("text", ["\0\x01\ud800\uffff", "a\nb\tc\r", "]]>&amp;<!--", "ع\u202e★", "x" * 5000])
def test_any_text_can_be_said(text: str) -> None:
    before = sidecar_of("digiKam")
    merged = merge(before, {**SAID, "Label": text, "Model": text}, 4).data
    assert merge(merged, {**SAID, "Label": text, "Model": text}, 4).data == merged
    assert remove(merged) == before


def test_mutated_sidecars_are_merged_rightly_or_refused() -> None:
    draw = np.random.default_rng(7)
    merged = 0
    pieces = [
        b"<",
        b">",
        b'"',
        b"'",
        b"/",
        b"<!--",
        b"-->",
        b"<?p",
        b"?>",
        b"<![CDATA[",
        b"]]>",
        b"\n",
        b"rdf:RDF",
        b"&#60;",
    ]
    programs = list(PROGRAMS)
    for turn in range(times(200, 20_000)):
        data = sidecar_of(programs[turn % len(programs)], (None, 0, 3)[turn % 3])
        if turn % 2:
            data = merge(data, SAID, 4).data
        for place in draw.integers(0, len(data), 2):
            piece = pieces[int(draw.integers(len(pieces)))] if turn % 5 else data[place : place + 40]
            data = data[:place] + piece + data[place + int(draw.integers(0, 3)) :]
        try:
            after = merge(data, SAID, 5).data
            gone = remove(after)
        except UnusableSidecar:
            continue
        merged += 1
        assert foreign(after) == foreign(data)
        assert read_packet(after).rating == read_packet(data).rating or read_packet(data).rating == 0
        assert gone is None or foreign(gone) == foreign(data)
    assert merged > times(10, 1000)
