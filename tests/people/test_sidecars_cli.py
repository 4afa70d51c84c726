"""`photoqual rate --xmp` and `photoqual xmp undo`, as people call them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from photoqual.cli import app
from photoqual.errors import ConfigError
from photoqual.rating.sidecars.packet import parse
from tests.data.xmp_photos import photo, rated
from tests.model.registered import RED, tiny_folder
from tests.people.sidecars import sidecar_of


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """A model, and a folder with a photo that has no sidecar, one that a person rated, and one with a broken sidecar."""
    tiny_folder(tmp_path / "model", RED)
    folder = tmp_path / "gallery"
    folder.mkdir()
    for number in (1, 2, 3):
        (folder / f"{number}.jpg").write_bytes(photo(seed=number))
    (folder / "2.xmp").write_bytes(sidecar_of("Lightroom", 3))
    (folder / "3.xmp").write_bytes(b"broken")
    return folder


def photoqual(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, ConfigError):
        raise result.exception
    return result


def test_rate_counts_then_writes_and_undo_takes_it_back(
    gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOQUAL_OUTCOME_FILE", str(tmp_path / "outcome.json"))
    before = {path.name: path.read_bytes() for path in gallery.iterdir()}
    rate = ["rate", gallery, "--model", tmp_path / "model", "--format", "json", "--xmp", "--stars"]
    dry = photoqual(*rate)
    assert dry.exit_code == 1
    assert (
        "Sidecars: 1 new, 1 merged, 0 unchanged, 1 skipped (1 xmp_broken). Stars: 1 kept, 1 written. "
        "Nothing was written: this was a dry run, add --write."
    ) in dry.stderr
    assert f"skipped {gallery}/3.xmp: It is no well-formed XML" in dry.stderr
    assert {path.name: path.read_bytes() for path in gallery.iterdir()} == before

    done = photoqual(*rate, "--write")
    assert "Nothing was written" not in done.stderr
    outcome = json.loads((tmp_path / "outcome.json").read_text())["result"]
    assert outcome["sidecars"] == {
        "written": True,
        **{"new": 1, "merged": 1, "unchanged": 0},
        "stars": {"written": 1, "kept": 1},
        "skipped": {"xmp_broken": 1},
    }
    said = json.loads(done.stdout.splitlines()[0])
    ours = parse((gallery / "1.jpg.xmp").read_bytes()).ours
    assert (float(ours["Score"]), ours["Label"], ours["Model"]) == (
        pytest.approx(said["score"], abs=1e-4),
        said["label"],
        said["model"],
    )
    assert ours["Stars"] == ours["StarsWritten"] == str(said["stars"])

    assert photoqual("xmp", "undo", gallery).stderr == (
        "Sidecars: 1 restored, 1 deleted, 1 without ours. Nothing was written: this was a dry run, add --write.\n"
    )
    undone = photoqual("xmp", "undo", gallery, "--write")
    assert (undone.exit_code, undone.stderr) == (0, "Sidecars: 1 restored, 1 deleted, 1 without ours.\n")
    assert {path.name: path.read_bytes() for path in gallery.iterdir()} == before


def test_without_xmp_nothing_is_read_or_written(gallery: Path, tmp_path: Path) -> None:
    (gallery / "1.jpg").write_bytes(photo(xmp=rated(4)))
    before = sorted(gallery.iterdir())
    assert "Sidecars" not in photoqual("rate", gallery, "--model", tmp_path / "model").stderr
    assert sorted(gallery.iterdir()) == before


@pytest.mark.parametrize("option", ["--stars", "--write"])
def test_options_of_sidecars_need_xmp(option: str) -> None:
    with pytest.raises(ConfigError, match="Add --xmp"):
        photoqual("rate", "nowhere", option)


def test_undo_says_what_is_not_there(tmp_path: Path) -> None:
    undone = photoqual("xmp", "undo", tmp_path / "gone", "--write")
    assert (undone.exit_code, undone.stderr.splitlines()[0]) == (
        1,
        f"skipped {tmp_path}/gone: There is no such file or folder.",
    )
