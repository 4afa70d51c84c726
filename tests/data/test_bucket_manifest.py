"""The manifest of a bucket: CSV of every spelling, JSON lines and Parquet; wrong rows are counted, wrong tables told."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoqual.errors import SourceError
from photoqual.sources._manifest import Manifest, Row
from photoqual.sources.records import Skipped
from tests.long import times

Load = Callable[..., tuple[Manifest, list[Skipped]]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function: read a manifest of this name and content; give it and what was passed over."""

    def load(name: str, content: str | bytes) -> tuple[Manifest, list[Skipped]]:
        file = tmp_path / "file"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        manifest = Manifest(tmp_path, name, (1.0, 5.0))
        return manifest, list(manifest.read(file))

    return load


def parquet(tmp_path: Path, **columns: Any) -> bytes:
    pq.write_table(pa.table(columns), tmp_path / "made.parquet")
    return (tmp_path / "made.parquet").read_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("votes.csv", "key,label,mean,count,group,category,more\na b.jpg,good,,,walk,,1\nb.jpg,,4.5,12,,city,2\n"),
        ("votes.csv", "key;mean;count;label;group;category\r\na b.jpg;;;good;walk;\r\nb.jpg;4,5;12;;;city\r\n"),
        (
            "VOTES.TSV",
            "\ufeff count\tkey \tmean\tlabel\tgroup\tcategory\n\ta b.jpg\t\tgood\twalk\n\n12\t b.jpg\t4,5\t\t\tcity",
        ),
        ("votes.csv", 'key,mean,count,label,group,category\n"a b.jpg",,,good,walk,\nb.jpg,"4,5",12,,,city\n'),
        (
            "dir/votes.jsonl",
            '\ufeff{"key": "a b.jpg", "label": "good", "group": "walk", "mean": null}\n\n'
            '{"mean": "4,5", "key": "b.jpg", "count": 12.0, "category": "city"}',
        ),
    ],
    ids=["comma", "semicolon", "tab and mark", "quoted", "JSON"],
)
def test_rows_are_read_whatever_the_spelling(load: Load, name: str, content: str) -> None:
    manifest, passed = load(name, content)
    assert passed == []
    assert manifest.find("a b.jpg") == Row("a b.jpg", "good", None, None, "walk", None)
    assert manifest.find("b.jpg") == Row("b.jpg", None, 4.5, 12, None, "city")
    assert manifest.find("c.jpg") is None
    assert list(manifest.unasked()) == []


def test_rows_of_parquet_are_read_with_their_types(load: Load, tmp_path: Path) -> None:
    content = parquet(
        tmp_path,
        key=pa.array([b"a.jpg", b"b.jpg", b"c.jpg"]),
        mean=pa.array([4.5, float("nan"), None], pa.float32()),
        count=pa.array([12, None, None], pa.int16()),
        label=pa.array([None, "bad", "good"]).dictionary_encode(),
        other=pa.array([[1], [2], []]),
    )
    manifest, passed = load("votes.parquet", content)
    assert passed == []
    assert [manifest.find(f"{key}.jpg") for key in "abc"] == [
        Row("a.jpg", None, 4.5, 12),
        Row("b.jpg", "bad"),
        Row("c.jpg", "good"),
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("x.jpg,six,5", "not_a_number"),
        ("x.jpg,nan,5", "not_a_number"),
        ("x.jpg,inf,5", "not_a_number"),
        ("x.jpg,4,2.5", "not_a_number"),
        ("x.jpg,4,1e30", "not_a_number"),
        ("x.jpg,4,", "not_a_number"),
        ("x.jpg,4", "not_a_number"),
        ("x.jpg,4,0", "no_votes"),
        ("x.jpg,4,-3", "no_votes"),
        ("x.jpg,5.1,3", "vote_outside_scale"),
        ("x.jpg,0,3", "vote_outside_scale"),
        ("x.jpg,4,5,12", "too_many_values"),
        ("x.jpg,4,5, ", None),
        ('x.jpg,"4,5",5', None),
    ],
)
def test_a_wrong_row_is_known_by_its_reason(load: Load, row: str, problem: str | None) -> None:
    manifest, passed = load("votes.csv", f"key,mean,count\na.jpg,3,3\n{row}\nb.jpg,2,2\n")
    found = manifest.find("x.jpg")
    assert found is not None
    assert (found.problem, passed) == (problem, [])
    assert [manifest.find(key) for key in ("a.jpg", "b.jpg")] == [Row("a.jpg", None, 3, 3), Row("b.jpg", None, 2, 2)]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"mean": True}, "not_a_number"),
        ({"mean": 10**400}, "not_a_number"),
        ({"mean": 4, "count": None}, "not_a_number"),
        ({"label": ["good"]}, "not_a_value"),
        ({"mean": {"stars": 4}}, "not_a_value"),
        ({"mean": 4}, None),
    ],
)
def test_a_wrong_json_row_is_known_by_its_reason(load: Load, values: dict[str, Any], problem: str | None) -> None:
    manifest, _ = load("votes.jsonl", '{"key": "a", "label": "good"}\n' + json.dumps({"key": "x", **values}))
    found = manifest.find("x")
    assert found is not None
    assert found.problem == problem


def test_rows_without_name_and_second_rows_are_counted_and_the_first_holds(load: Load) -> None:
    manifest, passed = load(
        "votes.csv", "key,label\na.jpg,good\n,bad\na.jpg,bad\n\ud83d.jpg,good\n".encode(errors="replace")
    )
    assert [event.reason for event in passed] == ["row_without_name", "duplicate_row"]
    assert manifest.find("a.jpg") == Row("a.jpg", "good")
    assert list(manifest.unasked()) == ["?.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("votes.csv", "image,stars\n", r"no column 'key'; it has image, stars.*key \(the whole key"),
        ("votes.csv", "key\n", r"no column 'label', 'mean', 'group' or 'category'; it has key"),
        ("votes.csv", "key|mean\n", r"no column 'key'; it has key\|mean"),
        ("votes.csv", "", "no column 'key'; it has none"),
        ("votes.csv", "key,mean,mean\n", "column mean more than once"),
        ("votes.csv", "key,mean\n".encode("utf-16"), "cannot be read as UTF-8"),
        ("votes.csv", "key,mean\ncaf\xe9.jpg,3\n".encode("latin-1"), "cannot be read as UTF-8"),
        ("votes.csv", 'key,mean\n1.jpg,3\n"2.jpg,4\n3.jpg,2\n', "not valid CSV after line 2"),
        ("votes.csv", "key,mean\n" + "x" * 200_000 + ",3\n", "not valid CSV after line 1"),
        ("votes.csv", "key,mean\n" + "x" * (1 << 20) + ",3\n", "line of more than 1048576"),
        (
            "votes.jsonl",
            '{"key": "a", "mean": 3}\n{"key": "b", "mean"',
            "Line 2 of the manifest votes.jsonl is not a JSON",
        ),
        ("votes.jsonl", "[1, 2]\n", "Line 1 .* is not a JSON object"),
        ("votes.jsonl", "[" * 100_000, "Line 1 .* is not a JSON object"),
        ("votes.jsonl", '{"image": "a"}\n', "no column 'key'; it has image"),
        ("votes.parquet", "key,mean\n", "cannot be read as Parquet"),
        ("votes.xlsx", "key,mean\n", "no kind of table"),
        ("votes", "key,mean\n", "no kind of table"),
    ],
)
def test_a_wrong_table_says_what_to_mend(load: Load, name: str, content: str | bytes, says: str) -> None:
    with pytest.raises(SourceError, match=says) as problem:
        load(name, content)
    assert problem.value.next_step


def test_a_parquet_file_without_a_key_says_so(load: Load, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no column 'key'; it has name, mean"):
        load("votes.parquet", parquet(tmp_path, name=["a"], mean=[3.0]))


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for number in (1000, times(8000, 1_000_000)):
        file = tmp_path / f"{number}.csv"
        with file.open("w") as table:
            table.write("key,mean,count\n")
            table.writelines(f"2024/05/{row:08d}.jpg,4,10\n" for row in range(number))
        (tmp_path / str(number)).mkdir()
        manifest = Manifest(tmp_path / str(number), file.name, (1.0, 5.0))
        tracemalloc.start()
        assert list(manifest.read(file)) == []
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert manifest.find(f"2024/05/{number - 1:08d}.jpg") is not None
        manifest.close()
    assert peaks[1] < peaks[0] + 200_000
