"""Other programs read what we write: ExifTool (Immich asks it), and exiv2, the reader of digiKam and darktable."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from photoqual.photos.xmp import NAMESPACE
from photoqual.rating.sidecars.edit import fresh, merge, remove
from photoqual.rating.sidecars.packet import parse
from photoqual.rating.sidecars.write import SidecarWriter
from tests.data.xmp_photos import photo
from tests.people.sidecars import PROGRAMS, rating_of, sidecar_of

READABLE = [program for program in PROGRAMS if program not in ("one line", "other prefixes", "NUL padding")]
"""Those that both programs read at all."""
SAID = {"Score": "0.8123", "Stars": "4", "Label": "good & <fine>", "Sure": "True", "Model": "m", "RatedAt": "1"}


def needs(program: str, package: str) -> Callable[..., Any]:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}: apt-get install {package}")


exiftool_is_here = needs("exiftool", "libimage-exiftool-perl")
exiv2_is_here = needs("exiv2", "exiv2")


def exiftool(*sidecars: Path) -> list[dict[str, Any]]:
    """Return what ExifTool reads in each, by group and name."""
    ran = subprocess.run(
        ["exiftool", "-json", "-G1", "-xmp:all", *sidecars], capture_output=True, text=True, check=True
    )
    assert "Warning" not in ran.stderr
    return [{name: told[name] for name in told if name != "SourceFile"} for told in json.loads(ran.stdout)]


def exiv2(*sidecars: Path) -> list[dict[str, str]]:
    """Return what exiv2 reads in each, by name."""
    return [_exiv2(sidecar) for sidecar in sidecars]


def _exiv2(sidecar: Path) -> dict[str, str]:
    ran = subprocess.run(["exiv2", "-Pkv", "-px", sidecar], capture_output=True, text=True, check=True)
    assert "Error" not in ran.stderr
    pairs = [line.partition(" ") for line in ran.stdout.splitlines()]
    return {name: value.strip() for name, _, value in pairs if name.startswith("Xmp.")}


@exiftool_is_here
@exiv2_is_here
def test_a_new_sidecar_is_read_by_both(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(photo())
    writer = SidecarWriter(stars=True, write=True)
    writer.write(rating_of(str(tmp_path / "1.jpg"), label="good & <fine>"))
    assert writer.told.sidecars == {"new": 1}
    sidecar = tmp_path / "1.jpg.xmp"
    [told] = exiftool(sidecar)
    assert (told["XMP-photoqual:Score"], told["XMP-photoqual:Label"], told["XMP-xmp:Rating"]) == (
        0.8123,
        "good & <fine>",
        4,
    )
    [told] = exiv2(sidecar)
    assert (told["Xmp.photoqual.Score"], told["Xmp.photoqual.Label"], told["Xmp.xmp.Rating"]) == (
        "0.8123",
        "good & <fine>",
        "4",
    )


@pytest.mark.parametrize(
    "read", [pytest.param(exiftool, marks=exiftool_is_here), pytest.param(exiv2, marks=exiv2_is_here)]
)
def test_merged_sidecars_tell_all_they_told_before(tmp_path: Path, read: Callable[..., list[dict[str, Any]]]) -> None:
    rating = "XMP-xmp:Rating" if read is exiftool else "Xmp.xmp.Rating"
    pairs = [(tmp_path / f"{number}.xmp", tmp_path / f"{number}.jpg.xmp") for number in range(len(READABLE))]
    for program, (before, after) in zip(READABLE, pairs, strict=True):
        before.write_bytes(sidecar_of(program, 0))
        after.write_bytes(merge(before.read_bytes(), SAID, 4).data)
    told = read(*(path for pair in pairs for path in pair))
    for program, before, after in zip(READABLE, told[::2], told[1::2], strict=True):
        assert (str(before.pop(rating)), str(after.pop(rating))) == ("0", "4"), program
        assert len(after) - len(before) == len(SAID) + 2, program
        assert {name: after[name] for name in before} == before, program


@exiftool_is_here
@exiv2_is_here
@pytest.mark.parametrize(("program", "by"), [("darktable", "exiftool"), ("Lightroom", "exiv2"), ("ExifTool", "exiv2")])
def test_ours_is_undone_after_another_program_has_written_the_sidecar(tmp_path: Path, program: str, by: str) -> None:
    sidecar = tmp_path / "1.xmp"
    sidecar.write_bytes(merge(sidecar_of(program, 0), SAID, 4).data)
    if by == "exiftool":
        command = ["exiftool", "-q", "-overwrite_original", "-XMP-dc:Creator=Zoë", str(sidecar)]
    else:
        command = ["exiv2", "-M", "set Xmp.photoshop.City Seestadt", str(sidecar)]
    subprocess.run(command, check=True, capture_output=True)
    [rewritten] = exiftool(sidecar)
    packet = parse(sidecar.read_bytes())
    assert packet.ours == {**SAID, "StarsWritten": "4", "StarsBefore": "0"}
    newer = merge(sidecar.read_bytes(), {**SAID, "Score": "0.1"}, 2).data
    undone = remove(newer) or b""
    (tmp_path / "newer.xmp").write_bytes(newer)
    sidecar.write_bytes(undone)
    told = exiftool(tmp_path / "newer.xmp", sidecar)
    assert [found["XMP-xmp:Rating"] for found in told] == [2, 0]
    kept = {name for name in rewritten if "photoqual" not in name and name != "XMP-xmp:Rating"}
    assert [{name: found[name] for name in kept} for found in told] == [{name: rewritten[name] for name in kept}] * 2
    assert NAMESPACE.encode() not in undone


@exiftool_is_here
def test_a_new_sidecar_is_deleted_after_another_program_has_written_it(tmp_path: Path) -> None:
    sidecar = tmp_path / "1.jpg.xmp"
    sidecar.write_bytes(fresh(SAID, 4).data)
    for value in ("Zoë", ""):
        subprocess.run(
            ["exiftool", "-q", "-overwrite_original", f"-XMP-dc:Creator={value}", sidecar],
            check=True,
            capture_output=True,
        )
    assert remove(sidecar.read_bytes()) is None
