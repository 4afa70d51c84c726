"""Tables of votes beside the plain one: Parquet, numbers of votes per grade, single votes, AVA's own text file."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from photoqual.config import Params, PhotosParams, VotesSource
from photoqual.errors import SourceError
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog
from photoqual.sources import _judgements
from photoqual.sources.records import Fetched, Record, Skipped
from photoqual.sources.refresh import refresh
from photoqual.sources.votes import Votes
from tests.conftest import encoded, scene
from tests.long import times


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder of four photos, with one beside it that may not be read."""
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(("photos/1.jpg", "photos/2.jpg", "photos/3.jpg", "photos/4.jpg", "secret.jpg")):
        (tmp_path / name).write_bytes(encoded(scene(seed)))
    return tmp_path / "photos"


def harvest(root: Path, table: str | pa.Table, **options: Any) -> tuple[dict[str, Record], Counter[str], Votes]:
    """Return what the folder `photos` and the table give: records by key, what was passed over, and the source."""
    if isinstance(table, str):
        (root / "votes.csv").write_text(table)
    else:
        pq.write_table(table, root / "votes.csv")
    source = Votes(VotesSource(path="photos", csv="votes.csv", **options), PhotosParams(), root)
    events = list(source.harvest({}))
    found = {event.record.source_key: event.record for event in events if isinstance(event, Fetched)}
    return found, Counter(event.reason for event in events if isinstance(event, Skipped)), source


def test_a_parquet_table_gives_what_the_same_csv_gives(top: Path) -> None:
    rows = {
        "image": ["1.jpg", "2.jpg", "3.jpg", None, "4.jpg"],
        "mean": [4.5, None, 7.0, 3.0, 3.0],
        "votes": [12, 3, 3, 3, 1],
        "trip": ["harbour", "hill", "hill", "hill", None],
    }
    types = [pa.dictionary(pa.int32(), pa.string()), pa.decimal128(9, 2), pa.int16(), pa.large_string()]
    odd = pa.table([pa.array(rows[name]).cast(kind) for name, kind in zip(rows, types, strict=True)], list(rows))
    text = pd.DataFrame(rows).to_csv(index=False)
    csv, parquet, typed = (harvest(top.parent, table, group="trip")[:2] for table in (text, pa.table(rows), odd))
    assert csv == parquet == typed
    assert {key: (record.votes_mean, record.votes_count, record.group) for key, record in csv[0].items()} == {
        "1.jpg": (4.5, 12, "harbour"),
        "4.jpg": (3.0, 1, None),
    }
    assert csv[1] == {"not_a_number": 1, "vote_outside_scale": 1, "row_without_name": 1}


@pytest.mark.parametrize(
    ("table", "options", "says"),
    [
        (pa.table({"photo": ["1.jpg"]}), {}, r"no column 'image', 'mean', 'votes'; it has photo"),
        ("PAR1 and no more", {}, "cannot be read as Parquet"),
        ("image,vote\n1.jpg,3\n", {"format": "single_votes"}, r"no column 'rater'.*Set `rater`"),
        ("image,a,b\n1.jpg,3,4\n", {"histogram": ["a", "b", "c"]}, "no column 'c'.*`grade_2`"),
        ("image,mean,votes\n1.jpg,4,5\n", {"format": "ava"}, "no line of AVA's form"),
        ("", {"format": "ava"}, "no line of AVA's form"),
        ("1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396\n", {"format": "ava", "group": "trip"}, "nothing named 'trip'"),
    ],
    ids=["columns", "no Parquet", "no rater", "no grade", "not AVA", "empty", "no fact"],
)
def test_a_wrong_table_says_what_to_mend(top: Path, table: str | pa.Table, options: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceError, match=says) as problem:
        harvest(top.parent, table, **options)
    assert problem.value.next_step


@pytest.mark.parametrize(
    "options",
    [
        {"format": "ava", "rating_scale": (1.0, 7.0)},
        {"format": "ava", "histogram": ["a", "b"]},
        {"histogram": ["a", "a"]},
        {"histogram": ["a"]},
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VotesSource(path="photos", csv="votes.csv", **options)


def test_numbers_of_votes_per_grade_give_mean_spread_and_histogram(top: Path) -> None:
    table = (
        "image;bad;so;good\n1.jpg;1;0;3\n2.jpg;0;1;0\n3.jpg;1;-1;3\n4.jpg;0;0;0\n;1;1;1\n9.jpg;1;1;1,5\n9.jpg;1;1;\n"
    )
    found, passed, _ = harvest(top.parent, table, histogram=["bad", "so", "good"], rating_scale=(0.0, 10.0))
    spread = float(np.std([0, 10, 10, 10]))
    facts = {
        key: (record.votes_count, record.votes_mean, record.votes_spread, record.votes_histogram)
        for key, record in found.items()
    }
    assert facts == {"1.jpg": (4, 7.5, pytest.approx(spread), (1, 0, 3)), "2.jpg": (1, 5.0, None, (0, 1, 0))}
    assert passed == {"votes_below_zero": 1, "no_votes": 1, "row_without_name": 1, "not_a_number": 2}


AVA = """1 1 0 1 5 17 38 36 15 6 5 1 1 22 1396
2 2 10 7 15 26 26 21 10 8 1 2 0 0 1396

3 ../secret 1 1 1 1 1 1 1 1 1 1 0 0 7
4 3 0 0 0 0 0 0 0 0 0 0 15 21 7
5 4 1 1 1 1 1 1 1 1 1 15 21 7
6 77 1 1 1 1 1 1 1 1 1 1 0 0 7
7 2 1 1 1 1 1 1 1 1 1 1 0 0 7
8 3 1 1 1 1 1 1 1 1 1 -1 0 0 7
"""


def test_avas_own_file_is_read(top: Path) -> None:
    found, passed, _ = harvest(top.parent, AVA, format="ava", group="challenge", category="tag_1")
    counts = [0, 1, 5, 17, 38, 36, 15, 6, 5, 1]
    votes = np.repeat(np.arange(1, 11), counts)
    assert sorted(found) == ["1.jpg", "2.jpg"]
    record = found["1.jpg"]
    assert (record.votes_count, record.votes_histogram, record.rating_scale) == (124, tuple(counts), (1.0, 10.0))
    assert (record.votes_mean, record.votes_spread) == (pytest.approx(votes.mean()), pytest.approx(votes.std()))
    assert [(record.group, record.category) for record in found.values()] == [("1396", "1"), ("1396", None)]
    assert passed == {"not_a_line_of_ava": 3, "no_votes": 1, "no_such_file": 1, "duplicate_row": 1}


SINGLE = """image,rater,vote,trip
1.jpg,ann,4,
1.jpg,bob,5,harbour
1.jpg,cid,3,hill
2.jpg,ann,2,
2.jpg,bob,1,
2.jpg,ann,5,
2.jpg,,3,
2.jpg,cid,6,
2.jpg,cid,0.5,
2.jpg,cid,good,
,cid,3,
3.jpg,cid,3,
../secret.jpg,cid,3,
"""


def test_single_votes_give_mean_spread_raters_and_histogram(top: Path) -> None:
    found, passed, source = harvest(top.parent, SINGLE, format="single_votes", weigh_raters=False, group="trip")
    facts = {
        key: (record.votes_count, record.votes_mean, record.votes_spread, record.votes_histogram, record.group)
        for key, record in found.items()
    }
    assert facts == {
        "1.jpg": (3, 4.0, pytest.approx(float(np.std([4, 5, 3]))), (0, 0, 1, 1, 1), "harbour"),
        "2.jpg": (2, 1.5, 0.5, (1, 1, 0, 0, 0), None),
        "3.jpg": (1, 3.0, None, (0, 0, 1, 0, 0), None),
    }
    assert passed == {
        "duplicate_vote": 1,
        "row_without_rater": 1,
        "vote_outside_scale": 2,
        "not_a_number": 1,
        "row_without_name": 1,
        "leaves_folder": 1,
    }
    assert source.report()["raters"] == 3


@pytest.mark.parametrize(
    ("table", "options", "expected"),
    [
        ("image;rater;vote\n1.jpg;ann;4,5\n1.jpg;bob;3\n", {}, (3.75, None)),
        ("image,rater,vote\n1.jpg,ann,4\n1.jpg,bob,3\n", {"rating_scale": (0.5, 5.0)}, (3.5, None)),
        ("image,rater,vote\n1.jpg,ann,400\n1.jpg,bob,300\n", {"rating_scale": (0.0, 1e9)}, (350.0, None)),
        ("image,rater,vote\n1.jpg,1,0\n1.jpg,2,2\n", {"rating_scale": (0.0, 2.0)}, (1.0, (1, 0, 1))),
    ],
    ids=["decimal comma", "odd scale", "wide scale", "from zero"],
)
def test_a_histogram_is_of_whole_votes_on_a_whole_scale(
    top: Path, table: str, options: dict[str, Any], expected: tuple[float, tuple[int, ...] | None]
) -> None:
    record = harvest(top.parent, table, format="single_votes", **options)[0]["1.jpg"]
    assert (record.votes_mean, record.votes_histogram) == expected


def votes(
    seed: int, photos: int, raters: int, per_photo: int, random_share: float
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return single votes on a scale of 1 to 5, the true grade of each photo, and which raters vote at random."""
    draw = np.random.default_rng(seed)
    truth = draw.normal(3, 0.8, photos)
    at_random = np.arange(raters) < random_share * raters
    photo = np.repeat(np.arange(photos), per_photo)
    first = draw.integers(0, raters, photos)
    rater = ((first[:, None] + np.arange(per_photo) * (raters // per_photo)) % raters).ravel()
    seen = truth[photo] + draw.normal(0, 0.3, raters)[rater] + draw.normal(0, 0.7, len(photo))
    vote = np.where(at_random[rater], draw.integers(1, 6, len(photo)), np.clip(np.round(seen), 1, 5))
    names = {"image": [f"{number}.jpg" for number in photo], "rater": [f"r{number}" for number in rater], "vote": vote}
    return pd.DataFrame(names), truth, at_random


def test_the_refresh_tells_how_far_raters_agree(top: Path, tmp_path: Path, make_params: Callable[..., Params]) -> None:
    for seed in range(40):
        (top / f"{seed}.jpg").write_bytes(encoded(scene(seed)))
    votes(1, 40, 10, 6, 0.2)[0].to_csv(tmp_path / "votes.csv", index=False)
    rated = {"kind": "votes", "path": str(top), "csv": str(tmp_path / "votes.csv"), "format": "single_votes"}
    layout = Layout(tmp_path / "work")
    done = refresh(layout, make_params(sources={"rated": rated}))["sources"]["rated"]
    assert (done["new"], done["report"]["votes"], done["report"]["raters"]) == (40, 240, 10)
    assert 0 < done["report"]["split_half_agreement"] < 1
    catalog = read_catalog(layout.catalog)
    assert catalog["votes_spread"].notna().all()
    assert all(sum(histogram) <= 6 for histogram in catalog["votes_histogram"])


def test_a_million_single_votes_take_seconds(tmp_path: Path) -> None:
    count = times(100_000, 1_000_000)
    votes(2, count // 10, count // 200, 10, 0.1)[0].to_csv(tmp_path / "votes.csv", index=False)
    started = time.process_time()
    source = Votes(
        VotesSource(path=".", csv="votes.csv", format="single_votes"),
        PhotosParams(),
        tmp_path,
    )
    found = [judged for judged in source._judgements() if isinstance(judged, _judgements.Judgement)]
    seconds = time.process_time() - started
    print(f"{count} single votes in {seconds:.1f} s of processor time")
    assert len(found) == count // 10
    assert seconds < 2 + count / 50_000
