"""params.yaml: the shipped one is right, and every kind of mistake is named."""

from pathlib import Path

import pytest
import yaml

from photoqual.config import load_params, parse_params
from photoqual.errors import ConfigError


def test_shipped_params_are_valid_and_frozen(project_root: Path) -> None:
    params = load_params(project_root / "params.yaml")
    assert params.sources["demo"].kind == "demo"
    with pytest.raises(ValueError, match="frozen"):
        params.train.epochs = 3  # type: ignore[misc]


MISTAKES = {
    "unknown top-level key": (lambda v: v.update(trian={}), "trian"),
    "unknown nested key": (lambda v: v["train"].update(epoch=3), "train.epoch"),
    "missing section": (lambda v: v.pop("split"), "split"),
    "no source": (lambda v: v.update(sources={}), "sources"),
    "unknown kind of source": (lambda v: v["sources"].update(x={"kind": "ftp"}), "sources.x"),
    "source name with a slash": (lambda v: v["sources"].update({"../x": {"kind": "demo"}}), "sources.../x"),
    "text for a number": (lambda v: v["train"].update(epochs="three"), "train.epochs"),
    "yes for a number": (lambda v: v["train"].update(epochs=True), "train.epochs"),
    "shares that do not add up": (lambda v: v["split"].update(test=0.5), "add up to 1"),
    "scale that falls": (
        lambda v: v["sources"].update(x={"kind": "votes", "path": "a", "csv": "b", "rating_scale": [5.0, 1.0]}),
        "sources.x.votes.rating_scale",
    ),
    "share that falls": (lambda v: v["validation"].update(good_share=[0.8, 0.2]), "validation.good_share"),
    "empty path": (lambda v: v["sources"].update(x={"kind": "folders", "path": ""}), "sources.x.folders.path"),
    "start that is no address": (
        lambda v: v["sources"].update(x={"kind": "gallery", "start": ["nonsense"]}),
        "sources.x.gallery.start",
    ),
    "unknown model": (lambda v: v["model"].update(kind="resnet9000"), "model.kind"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(project_root: Path, name: str) -> None:
    change, expected = MISTAKES[name]
    values = yaml.safe_load((project_root / "params.yaml").read_text())
    change(values)
    with pytest.raises(ConfigError) as caught:
        parse_params(values)
    assert expected in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["sources: [", "\x00", "- 1\n- 2\n", ""])
def test_files_that_are_no_params(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_params(path)


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="project's root"):
        load_params(tmp_path / "params.yaml")
