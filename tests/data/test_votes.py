"""A folder and a table of votes as a source: every spelling of CSV, every wrong row by its name, nothing outside."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from photoqual.config import PhotosParams, VotesSource
from photoqual.errors import SourceError
from photoqual.sources._files import mark
from photoqual.sources.records import Fetched, Known, Record
from photoqual.sources.votes import Votes
from tests.conftest import encoded, scene


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder of four photos, with one beside it that may not be read."""
    (tmp_path / "photos/trip").mkdir(parents=True)
    for seed, name in enumerate(("photos/1.jpg", "photos/2.jpg", "photos/trip/3.jpg", "photos/a, b.jpg", "secret.jpg")):
        (tmp_path / name).write_bytes(encoded(scene(seed)))
    return tmp_path / "photos"


def harvest(
    root: Path, table: str | bytes, *, known: dict[str, Known] | None = None, limit: int | None = None, **options: Any
) -> tuple[dict[str, Fetched], Counter[str]]:
    """Return what `photos` and the table give: photos by key, and how many rows were passed over and why."""
    (root / "votes.csv").write_bytes(table.encode() if isinstance(table, str) else table)
    config = VotesSource(**{"path": "photos", "csv": "votes.csv", **options})
    events = list(Votes(config, PhotosParams(), root).harvest(known or {}, limit=limit))
    found = [event for event in events if isinstance(event, Fetched)]
    by_key = {event.record.source_key: event for event in found}
    assert len(by_key) == len(found), "a photo came twice"
    return by_key, Counter(event.reason for event in events if not isinstance(event, Fetched))


ROWS = {"1.jpg": (4.5, 12), "trip/3.jpg": (2.0, 3)}


@pytest.mark.parametrize(
    "table",
    [
        "image,mean,votes\n1.jpg,4.5,12\ntrip/3.jpg,2,3\n",
        "image;mean;votes\n1.jpg;4,5;12\ntrip/3.jpg;2;3\n",
        "image\tmean\tvotes\n1.jpg\t4.5\t12\ntrip/3.jpg\t2\t3\n",
        "\ufeffimage,mean,votes\r\n1.jpg,4.5,12\r\ntrip/3.jpg,2,3",
        ' votes , image , mean \n 12 , 1.jpg , 4.5 \n\n"3","trip/3.jpg","2.0"\n',
        "image,mean,votes,note\n1.jpg,4.5,12.0,fine,,\ntrip/3.jpg,2,3\n",
    ],
    ids=["comma", "semicolon", "tab", "byte order mark", "spaces and quotes", "trailing commas and short rows"],
)
def test_every_spelling_of_a_table_gives_the_same_votes(top: Path, table: str) -> None:
    found, passed = harvest(top.parent, table)
    votes = {key: (event.record.votes_mean, event.record.votes_count) for key, event in found.items()}
    assert (votes, passed) == (ROWS, Counter())
    assert found["trip/3.jpg"].data == encoded(scene(2))


def test_group_category_scale_and_title_come_with_the_photo(top: Path) -> None:
    table = 'file,score,n,trip,kind\n"a, b.jpg",55,4,harbour,night\n1.jpg,100,1,,\n'
    found, _ = harvest(
        top.parent,
        table,
        image="file",
        mean="score",
        count="n",
        group="trip",
        category="kind",
        rating_scale=(0.0, 100.0),
    )
    assert found["a, b.jpg"].record == Record(
        source_key="a, b.jpg",
        group="harbour",
        category="night",
        title="a, b",
        votes_count=4,
        votes_mean=55.0,
        rating_scale=(0.0, 100.0),
        etag=mark(top / "a, b.jpg"),
    )
    assert (found["1.jpg"].record.group, found["1.jpg"].record.category) == (None, None)


def test_a_value_may_hold_any_kind_of_line_break(top: Path) -> None:
    table = 'image,mean,votes,kind\n1.jpg,4,5,"two\nlines"\n2.jpg,4,5,one\u2028more\n'
    found, passed = harvest(top.parent, table, category="kind")
    assert [event.record.category for event in found.values()] == ["two\nlines", "one\u2028more"]
    assert passed == Counter()


def test_without_a_column_of_counts_each_photo_has_one_vote(top: Path) -> None:
    found, _ = harvest(top.parent, "image,mean\n1.jpg,4\n", count=None)
    assert found["1.jpg"].record.votes_count == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1.jpg,0.9,5", "vote_outside_scale"),
        ("1.jpg,5.1,5", "vote_outside_scale"),
        ("1.jpg,-3,5", "vote_outside_scale"),
        ("1.jpg,,5", "not_a_number"),
        ("1.jpg,good,5", "not_a_number"),
        ("1.jpg,nan,5", "not_a_number"),
        ("1.jpg,inf,5", "not_a_number"),
        ("1.jpg,4,2.5", "not_a_number"),
        ("1.jpg,4,many", "not_a_number"),
        ("1.jpg,4,1e30", "not_a_number"),
        ("1.jpg", "not_a_number"),
        ("1.jpg,4,0", "no_votes"),
        ("1.jpg,4,-7", "no_votes"),
        (",4,5", "row_without_name"),
        ("9.jpg,4,5", "no_such_file"),
        ("trip,4,5", "no_such_file"),
        ("x" * 5000 + ".jpg,4,5", "no_such_file"),
        ("a\0b.jpg,4,5", "no_such_file"),
        ("../secret.jpg,4,5", "leaves_folder"),
        ("trip/../../secret.jpg,4,5", "leaves_folder"),
        ("link.jpg,4,5", "leaves_folder"),
        ("/etc/hostname,4,5", "leaves_folder"),
        ("1.jpg,4,5,12", "too_many_values"),
        ("2.jpg,3,3", "duplicate_row"),
        ("./2.jpg,3,3", "duplicate_row"),
        ("trip/../2.jpg,3,3", "duplicate_row"),
    ],
)
def test_a_wrong_row_is_counted_by_its_reason_and_the_others_are_kept(top: Path, row: str, reason: str) -> None:
    (top / "link.jpg").symlink_to(top.parent / "secret.jpg")
    found, passed = harvest(top.parent, f"image,mean,votes\n2.jpg,4,5\n{row}\ntrip/3.jpg,2,3\n")
    assert sorted(found) == ["2.jpg", "trip/3.jpg"]
    assert found["2.jpg"].record.votes_mean == 4.0
    assert passed == {reason: 1}


@pytest.mark.parametrize(
    ("table", "options", "says"),
    [
        ("image,score,n\n", {}, r"no column 'mean', 'votes'; it has image, score, n\. Set `mean`, `count`"),
        ("image,mean,mean,votes\n", {}, "has column 'mean' more than once"),
        ("image,mean,votes\n", {"category": "kind"}, r"no column 'kind'.*`category`"),
        ("image|mean|votes\n", {}, r"no column .*it has image\|mean\|votes"),
        ("", {}, "it has none"),
        ("image,mean,votes\n".encode("utf-16"), {}, "UTF-8"),
        ("image,mean,votes\ncaf\xe9.jpg,4,5\n".encode("latin-1"), {}, "UTF-8"),
        ('image,mean,votes\n"' + "x" * 200_000 + ",4,5\n", {}, "not valid CSV after line 1"),
        ('image,mean,votes\n1.jpg,4,5\n"2.jpg,4,5\ntrip/3.jpg,2,3\n', {}, "not valid CSV after line 2"),
        ("image,mean,votes\n", {"csv": "none.csv"}, "does not exist"),
        ("image,mean,votes\n", {"path": "none"}, "is not a folder"),
    ],
    ids=[
        "columns",
        "twice",
        "option",
        "delimiter",
        "empty",
        "UTF-16",
        "Latin-1",
        "long field",
        "open quote",
        "no table",
        "no folder",
    ],
)
def test_a_wrong_table_says_what_to_mend(top: Path, table: str | bytes, options: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceError, match=says) as problem:
        harvest(top.parent, table, **options)
    assert problem.value.next_step


def test_a_known_photo_brings_its_new_votes_without_its_bytes(top: Path) -> None:
    known = {"1.jpg": Known(None, mark(top / "1.jpg")), "2.jpg": Known(None, "1-1")}
    found, _ = harvest(top.parent, "image,mean,votes\n1.jpg,3,40\n2.jpg,4,5\n", known=known)
    assert (found["1.jpg"].data, found["1.jpg"].record.votes_count) == (None, 40)
    assert found["2.jpg"].data == encoded(scene(1))


def test_a_limit_counts_new_photos_only(top: Path) -> None:
    known = {"1.jpg": Known(None, mark(top / "1.jpg"))}
    table = "image,mean,votes\n1.jpg,3,40\n2.jpg,4,5\ntrip/3.jpg,2,2\n"
    assert sorted(harvest(top.parent, table, known=known, limit=1)[0]) == ["1.jpg", "2.jpg"]
