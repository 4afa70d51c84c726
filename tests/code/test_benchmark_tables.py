"""The tables of benchmarks: verdicts, exit codes, and sections of RESULTS.md that replace one another."""

from pathlib import Path

import pytest

from benchmarks import quality
from benchmarks.table import Row, exit_code, markdown, plain, update_results, with_section

ROWS = [
    Row("rate", "100 photos/s", "153 photos/s", True),
    Row("start", "0.5 s", "0.9 s", False),
    Row("peer", "", "98 photos/s"),
]


def test_a_miss_is_said_and_fails() -> None:
    assert exit_code(ROWS) == 1
    assert exit_code([ROWS[0], ROWS[2]]) == 0
    assert plain(ROWS).splitlines()[2].split() == ["start", "0.5", "s", "0.9", "s", "MISS"]
    assert "| start | 0.5 s | 0.9 s | MISS |" in markdown(ROWS)


def test_a_section_replaces_itself_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    for title, body in (("one", "first"), ("two", "second"), ("one", "again"), ("two", "last")):
        update_results(title, body, path)
    text = path.read_text()
    assert text.startswith("# Results of benchmarks\n")
    assert text.endswith("## one\n\nagain\n\n## two\n\nlast\n")
    assert with_section(text, "two", "last") == text


@pytest.mark.parametrize("folder", ["", "no/such/folder"])
def test_without_the_data_the_command_says_so(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHOTOQUAL_BENCH_DATA", folder)
    assert quality.main([]) == 2
    assert "PHOTOQUAL_BENCH_DATA is" in capsys.readouterr().err
