"""Sidecars on disk: which one, never damaged whatever is in the way, safe with two at once, undone; no vote of our own."""

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from photoqual.config import PhotosParams, XmpSource
from photoqual.photos.containers import MAX_PACKET_BYTES
from photoqual.photos.xmp import read_packet
from photoqual.rating.sidecars import store
from photoqual.rating.sidecars.packet import parse
from photoqual.rating.sidecars.told import Told
from photoqual.rating.sidecars.undo import undo
from photoqual.rating.sidecars.write import SidecarWriter
from photoqual.sources.records import Fetched
from photoqual.sources.xmp import Library
from tests.data.test_xmp_packets import LAUGHS
from tests.data.xmp_photos import RATING, exif, packet, photo, rated
from tests.long import times
from tests.people.sidecars import rating_of, sidecar_of

PICTURE = photo()
THEIRS = sidecar_of("darktable")


def put(folder: Path, *names: str, data: bytes = PICTURE) -> None:
    for name in names:
        (folder / name).write_bytes(THEIRS if name.lower().endswith(".xmp") and data is PICTURE else data)


def rate(*photos: Path, stars: bool = True, write: bool = True, **changes: object) -> Told:
    writer = SidecarWriter(stars=stars, write=write)
    for path in photos:
        writer.write(rating_of(str(path), **changes))
    return writer.told


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


@pytest.mark.parametrize(
    ("names", "rated_photo", "expected"),
    [
        ("1.jpg", "1.jpg", "1.jpg.xmp"),
        ("1.jpg 1.xmp", "1.jpg", "1.xmp"),
        ("1.jpg 1.jpg.xmp", "1.jpg", "1.jpg.xmp"),
        ("1.jpg 1.XMP", "1.jpg", "1.XMP"),
        ("1.jpg 1.jpg.xmp 1.xmp", "1.jpg", "1.jpg.xmp"),
        ("1.CR2 1.JPG 1.xmp", "1.CR2", "1.xmp"),
        ("1.CR2 1.JPG 1.xmp", "1.JPG", "1.JPG.xmp"),
        ("1.CR2 1.NEF 1.xmp", "1.CR2", "1.CR2.xmp"),
        ("1.jpg 1.png 1.xmp", "1.png", "1.png.xmp"),
        ("1.jpg 1.mov 1.txt 1.xmp", "1.jpg", "1.xmp"),
        ("1.jpg 1.jpg.png 1.jpg.xmp", "1.jpg", "1.jpg.xmp"),
        ("1.jpg 1.jpg.png 1.jpg.xmp", "1.jpg.png", "1.jpg.png.xmp"),
        ("1.jpg 10.jpg 1-2.jpg 1.xmp", "1.jpg", "1.xmp"),
        ("1.jpg 2.xmp 1_01.jpg.xmp", "1.jpg", "1.jpg.xmp"),
    ],
)
def test_the_sidecar_that_is_there_is_taken_unless_it_may_be_anothers(
    tmp_path: Path, names: str, rated_photo: str, expected: str
) -> None:
    put(tmp_path, *names.split())
    before = contents(tmp_path)
    told = rate(tmp_path / rated_photo, stars=False)
    assert told.sidecars == {"merged" if expected in before else "new": 1}
    changed = {name for name, data in contents(tmp_path).items() if before.get(name) != data}
    assert changed == {expected}
    again = rate(tmp_path / rated_photo, tmp_path / rated_photo, stars=False)
    assert again.sidecars == {"unchanged": 2}
    assert undo([tmp_path / rated_photo], write=True).sidecars.total() == 1
    assert contents(tmp_path) == before


def test_raw_and_jpeg_keep_ratings_of_their_own(tmp_path: Path) -> None:
    put(tmp_path, "1.CR2", "1.JPG", "1.xmp")
    for _ in range(2):
        rate(tmp_path / "1.CR2", score=0.2, stars=True)
        rate(tmp_path / "1.JPG", score=0.9, stars=True)
    scores = {name: parse((tmp_path / name).read_bytes()).ours["Score"] for name in ("1.xmp", "1.JPG.xmp")}
    assert scores == {"1.xmp": "0.2000", "1.JPG.xmp": "0.9000"}
    assert undo([tmp_path / "1.JPG"], write=True).sidecars == {"deleted": 1}
    assert parse((tmp_path / "1.xmp").read_bytes()).ours["Score"] == "0.2000"


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "2.jpg", "2.xmp", "3.jpg", "4.jpg")
    put(tmp_path, "3.xmp", data=b"broken")
    put(tmp_path, "4.xmp", data=sidecar_of("Lightroom", 5))
    before = contents(tmp_path)
    photos = [tmp_path / f"{number}.jpg" for number in (1, 2, 3, 4, 5)]
    told = rate(*photos, write=False)
    assert contents(tmp_path) == before
    assert told.summary() == {
        "written": False,
        **{"new": 1, "merged": 2, "unchanged": 0},
        "stars": {"written": 2, "kept": 1},
        "skipped": {"xmp_broken": 1, "not_a_local_file": 1},
    }
    assert told.sentence() == (
        "Sidecars: 1 new, 2 merged, 0 unchanged, 2 skipped (1 xmp_broken, 1 not_a_local_file). "
        "Stars: 1 kept, 2 written. Nothing was written: this was a dry run, add --write."
    )
    done = rate(*photos)
    assert (done.sidecars, done.stars) == (told.sidecars, told.stars)
    after = contents(tmp_path)
    assert {name for name in after if after[name] != before.get(name)} == {"1.jpg.xmp", "2.xmp", "4.xmp"}

    assert undo([tmp_path], write=False).sidecars == {"deleted": 1, "restored": 2, "without_ours": 1}
    assert contents(tmp_path) == after
    assert undo([tmp_path], write=True).summary() == {
        "written": True,
        **{"restored": 2, "deleted": 1, "without_ours": 1},
        "skipped": {},
    }
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("embedded", "facts", "sidecars", "stars"),
    [
        (None, None, {}, "written"),
        (rated(0), None, {}, "written"),
        (rated(3), None, {}, "kept"),
        (rated(-1), None, {}, "kept"),
        (packet('MicrosoftPhoto:Rating="75"'), None, {}, "kept"),
        (None, {RATING: 2}, {}, "kept"),
        (None, {RATING: 0}, {}, "written"),
        (rated(3), None, {"1.xmp": rated(0)}, "kept"),
        (None, None, {"1.jpg.xmp": packet(), "1.xmp": rated(5)}, "kept"),
        (None, None, {"1.jpg.xmp": packet(), "1.xmp": rated(0)}, "written"),
        (rated(3), None, {"1.jpg.xmp": packet(), "1.xmp": rated(0)}, "kept"),
        (None, None, {"1.jpg.xmp": packet(), "1.xmp": "broken"}, "unclear"),
        ("<broken", None, {}, "unclear"),
        (rated("five"), None, {}, "unclear"),
    ],
)
def test_nobodys_rating_is_overruled(
    tmp_path: Path, embedded: str | None, facts: dict[int, int] | None, sidecars: dict[str, str], stars: str
) -> None:
    picture = tmp_path / "1.jpg"
    put(tmp_path, "1.jpg", data=photo(xmp=embedded, facts=exif(facts)))
    for name, text in sidecars.items():
        put(tmp_path, name, data=text.encode())
    before = contents(tmp_path)
    told = rate(picture)
    assert (told.stars, told.sidecars.total()) == ({stars: 1}, 1)
    written = picture.with_name(next(iter(sidecars), "1.jpg.xmp"))
    assert parse(written.read_bytes()).ours["Score"] == "0.8123"
    assert (read_packet(written.read_bytes()).ours is not None) == (stars == "written")
    undo([tmp_path], write=True)
    assert contents(tmp_path) == before


def test_a_person_who_rates_the_photo_itself_later_gets_our_stars_out_of_the_way(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg")
    rate(tmp_path / "1.jpg")
    put(tmp_path, "1.jpg", data=photo(xmp=rated(2)))
    assert rate(tmp_path / "1.jpg").stars == {"withdrawn": 1}
    assert read_packet((tmp_path / "1.jpg.xmp").read_bytes()).ours is None
    assert rate(tmp_path / "1.jpg").stars == {"kept": 1}


def test_mode_owner_and_links_stay(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "2.jpg", "2.xmp")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/real.xmp").write_bytes(THEIRS)
    (tmp_path / "1.xmp").symlink_to("elsewhere/real.xmp")
    (tmp_path / "2.xmp").chmod(0o640)
    assert rate(tmp_path / "1.jpg", tmp_path / "2.jpg").sidecars == {"merged": 2}
    assert (tmp_path / "1.xmp").is_symlink()
    assert parse((tmp_path / "elsewhere/real.xmp").read_bytes()).ours
    assert (tmp_path / "2.xmp").stat().st_mode & 0o777 == 0o640


def states(folder: Path) -> list[tuple[str, int, int, int, int]]:
    found = [(path.name, path.lstat()) for path in sorted(folder.iterdir())]
    return [(name, seen.st_mode, seen.st_ino, seen.st_size, seen.st_mtime_ns) for name, seen in found]


def lock(sidecar: Path) -> None:
    sidecar.write_bytes(THEIRS)
    sidecar.chmod(0o444)


def in_the_way(sidecar: Path) -> None:
    sidecar.mkdir()


IN_THE_WAY: dict[str, tuple[Callable[[Path], object], str]] = {
    "malformed": (lambda sidecar: sidecar.write_bytes(b"<x"), "xmp_broken"),
    "a bomb": (lambda sidecar: sidecar.write_bytes(LAUGHS.encode()), "xmp_broken"),
    "large": (lambda sidecar: sidecar.write_bytes(b" " * (MAX_PACKET_BYTES + 1)), "xmp_too_large"),
    "not RDF": (lambda sidecar: sidecar.write_bytes(b"<gpx/>"), "xmp_not_rdf"),
    "UTF-16": (lambda sidecar: sidecar.write_bytes(THEIRS.decode().encode("utf-16")), "xmp_not_utf8"),
    "locked": (lock, "sidecar_locked"),
    "a folder": (in_the_way, "sidecar_not_a_file"),
    "a pipe": (os.mkfifo, "sidecar_not_a_file"),
    "a link to nowhere": (lambda sidecar: sidecar.symlink_to("nowhere"), "sidecar_not_a_file"),
    "a link to itself": (lambda sidecar: sidecar.symlink_to(sidecar), "sidecar_unreadable"),
    "a folder that is read-only": (lambda sidecar: sidecar.parent.chmod(0o555), "folder_not_writable"),
}


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("name", IN_THE_WAY)
def test_what_cannot_be_written_is_skipped_and_left_alone(tmp_path: Path, name: str, write: bool) -> None:
    make, reason = IN_THE_WAY[name]
    put(tmp_path, "1.jpg")
    make(tmp_path / "1.jpg.xmp")
    before = states(tmp_path)
    told = rate(tmp_path / "1.jpg", write=write)
    assert [skip.reason for skip in told.skipped] == [reason]
    assert told.sidecars.total() == told.stars.total() == 0
    if (tmp_path / "1.jpg.xmp").is_file():
        undo([tmp_path], write=write)
    assert states(tmp_path) == before
    tmp_path.chmod(0o755)


def test_a_name_that_leaves_no_room_for_a_sidecar_is_skipped(tmp_path: Path) -> None:
    names = [f"{'x' * length}.jpg" for length in (250, 245)]
    put(tmp_path, *names)
    put(tmp_path, f"{'x' * 250}.xmp", data=sidecar_of("Lightroom"))
    told = rate(*(tmp_path / name for name in names))
    assert [skip.reason for skip in told.skipped] == ["sidecar_unwritable"] * 2


def test_a_full_disk_leaves_sidecars_as_they_were(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "2.jpg", "2.xmp")
    before = contents(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        told = rate(tmp_path / "1.jpg", tmp_path / "2.jpg")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [skip.reason for skip in told.skipped] == ["disk_full"] * 2
    assert contents(tmp_path) == before


def test_a_sidecar_that_another_program_changes_meanwhile_is_left_alone(tmp_path: Path) -> None:
    put(tmp_path, "1.xmp")
    for sidecar, before, after in (("1.xmp", b"old", b"new"), ("1.xmp", None, b"new"), ("1.xmp", b"old", None)):
        with pytest.raises(store.UnusableSidecar, match="changed it meanwhile"):
            store.replace(tmp_path / sidecar, before, after)
    assert contents(tmp_path) == {"1.xmp": THEIRS}


def rate_many(folder: Path, score: float, rounds: int) -> None:
    for number in range(rounds):
        told = rate(*sorted(folder.glob("*.jpg")), score=score + number / 1000, stars=True)
        assert not told.skipped


def test_two_processes_at_once_do_one_after_the_other(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number}.jpg" for number in range(8)), *(f"{number}.xmp" for number in range(4)))
    before = contents(tmp_path)
    context = multiprocessing.get_context("fork")
    rounds = times(5, 50)
    both = [context.Process(target=rate_many, args=(tmp_path, score, rounds)) for score in (0.1, 0.8)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    for sidecar in tmp_path.glob("*.xmp"):
        assert sidecar.read_bytes().count(b"photoqual:Score=") == 1
    assert undo([tmp_path], write=True).sidecars == {"deleted": 4, "restored": 4}
    assert contents(tmp_path) == before


def test_killed_at_any_instant_every_sidecar_is_whole(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number}.jpg" for number in range(20)), *(f"{number}.xmp" for number in range(10)))
    before = contents(tmp_path)
    context = multiprocessing.get_context("fork")
    for turn in range(times(4, 40)):
        process = context.Process(target=rate_many, args=(tmp_path, 0.01 * turn, 1000))
        process.start()
        time.sleep(0.05 + 0.037 * turn % 0.2)
        process.kill()
        process.join()
        for sidecar in tmp_path.glob("[!.]*.xmp"):
            parse(sidecar.read_bytes())
    assert undo([tmp_path], write=True).skipped == []
    assert {name: data for name, data in contents(tmp_path).items() if not name.startswith(".")} == before


def votes(folder: Path) -> list[float | None]:
    library = Library(XmpSource(kind="xmp", path="."), PhotosParams(), folder)
    return [event.record.votes_mean for event in library.harvest({}) if isinstance(event, Fetched)]


@pytest.mark.parametrize("sidecar", [None, "1.xmp"])
@pytest.mark.parametrize("before", [packet(), rated(0)])
def test_a_model_never_learns_from_stars_that_it_gave(tmp_path: Path, sidecar: str | None, before: str) -> None:
    put(tmp_path, "1.jpg")
    if sidecar:
        put(tmp_path, sidecar, data=before.encode())
    written = tmp_path / (sidecar or "1.jpg.xmp")
    rate(tmp_path / "1.jpg")
    assert votes(tmp_path) == []
    for copied in (photo(xmp=rated(4)), photo(facts=exif({RATING: 4})), photo(xmp=written.read_bytes())):
        put(tmp_path, "1.jpg", data=copied)
        assert votes(tmp_path) == []
    put(tmp_path, "1.jpg", data=photo(xmp=rated(2)))
    assert votes(tmp_path) == [2.0]
    put(tmp_path, "1.jpg")
    written.write_bytes(written.read_bytes().replace(b'xmp:Rating="4"', b'xmp:Rating="5"'))
    assert votes(tmp_path) == [5.0]
    rate(tmp_path / "1.jpg")
    assert votes(tmp_path) == [5.0]


def test_undo_tells_what_is_not_there_and_takes_sidecars_by_name(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg")
    (tmp_path / "trip").mkdir()
    put(tmp_path / "trip", "2.jpg", "3.jpg")
    rate(tmp_path / "1.jpg", tmp_path / "trip/2.jpg", tmp_path / "trip/3.jpg")
    (tmp_path / "trip/loop").symlink_to(tmp_path)
    (tmp_path / "trip/2.jpg").unlink()
    undone = undo([tmp_path / "1.jpg.xmp", tmp_path / "trip", tmp_path / "gone"], write=True)
    assert undone.sidecars == {"deleted": 3}
    assert [(skip.reason, Path(skip.photo).name) for skip in undone.skipped] == [("not_found", "gone")]
    assert undo([tmp_path / "1.jpg"], write=True).sidecars == {}
