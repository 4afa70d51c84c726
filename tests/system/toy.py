"""A small project with the pipeline's shape: a git origin, a DVC store, three stages of a few lines each.

Its source is a folder (`site`), so that a test can let it grow, poison it or make it slow.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from photoqual.pipeline.locks import Lock, hashes, parse_lock
from photoqual.settings import Settings

REPOSITORY = Path(__file__).parents[2]

DVC_YAML = """
stages:
  refresh:
    cmd: python stages.py refresh
    deps: [stages.py]
    outs:
      - data/photos: {persist: true}
      - data/catalog.txt: {persist: true}
    meta: {airflow: {retries: 2, execution_timeout_minutes: 5}}
  label:
    cmd: python stages.py label
    deps: [data/catalog.txt]
    params: [labels]
    outs: [data/labels.txt]
  train:
    cmd: python stages.py train
    deps: [data/labels.txt, data/photos]
    params: [model, train]
    outs: [models/challenger]
    meta: {airflow: {queue: gpu, pool: gpu}}
"""

STAGES = """
import json, os, pathlib, shutil, sys, time

site = pathlib.Path(os.environ["TOY_SITE"])

def refresh():
    photos = pathlib.Path("data/photos")
    photos.mkdir(parents=True, exist_ok=True)
    new = [path for path in sorted(site.glob("*.txt")) if not (photos / path.name).exists()]
    limit = os.environ.get("PHOTOQUAL_REFRESH_LIMIT")
    for path in new[: int(limit) if limit else None]:
        shutil.copy(path, photos / path.name)
    pathlib.Path("data/catalog.txt").write_text("".join(f"{p.name} {p.read_text()}\\n" for p in sorted(photos.iterdir())))

def label():
    time.sleep(float((site / "slow").read_text()) if (site / "slow").exists() else 0)
    catalog = pathlib.Path("data/catalog.txt").read_text()
    pathlib.Path("reports").mkdir(exist_ok=True)
    pathlib.Path("reports/seen.txt").write_text(catalog)
    if "poison" in catalog:
        told = {"ok": False, "error": "ValidationFailed", "message": "A vote is poison.", "next_step": "Mend the site."}
        pathlib.Path(os.environ["PHOTOQUAL_OUTCOME_FILE"]).write_text(json.dumps(told))
        sys.exit("Error: A vote is poison.")
    pathlib.Path("data/labels.txt").write_text(catalog.upper())

def train():
    params = pathlib.Path("params.yaml").read_text()
    kind = params.split("model:")[1].split("kind: ")[1].split()[0]
    folder = pathlib.Path("models/challenger")
    folder.mkdir(parents=True)
    (folder / "model.txt").write_text(kind + pathlib.Path("data/labels.txt").read_text())

globals()[sys.argv[1]]()
"""


@dataclass(frozen=True)
class Toy:
    """Where the parts of a toy project lie."""

    folder: Path
    settings: Settings

    @property
    def origin(self) -> Path:
        return self.folder / "origin.git"

    @property
    def site(self) -> Path:
        return self.folder / "site"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def clones(self) -> list[Path]:
        return [path for path in self.settings.workspaces.iterdir() if path.is_dir()]

    def photo(self, name: str, content: str) -> None:
        (self.site / f"{name}.txt").write_text(content)

    def git(self, *arguments: str) -> str:
        return run("git", *arguments, cwd=self.origin)

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def lock(self, revision: str) -> Lock:
        return parse_lock(self.git("show", f"{revision}:dvc.lock"))

    def hashes(self, revision: str) -> dict[str, str]:
        return hashes(self.lock(revision))

    def settings_with(self, **changes: object) -> Settings:
        return self.settings.model_copy(update=changes)

    def push_main(self, files: dict[str, str], message: str) -> None:
        """Put another commit on `main`."""
        tree = self.folder / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        run("git", "clone", "--quiet", str(self.origin), str(tree), cwd=self.folder)
        for name, text in files.items():
            (tree / name).write_text(text)
        commit(tree, message)
        run("git", "push", "--quiet", "origin", "HEAD:main", cwd=tree)


def run(*command: str, cwd: Path) -> str:
    environment = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, env=environment).stdout.strip()


def commit(tree: Path, message: str) -> None:
    run("git", "add", "--all", cwd=tree)
    run(
        "git",
        "-c",
        "user.name=test",
        "-c",
        "user.email=test@test.invalid",
        "commit",
        "--quiet",
        "-m",
        message,
        cwd=tree,
    )


def make_toy(folder: Path) -> Toy:
    """Make a toy project in `folder`, with one photo on its site."""
    tree = folder / "first"
    (tree / ".dvc").mkdir(parents=True)
    (tree / ".dvc/config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    (tree / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (tree / ".gitignore").write_text("/data\n/models\n/reports\n")
    (tree / "dvc.yaml").write_text(DVC_YAML)
    (tree / "stages.py").write_text(STAGES)
    shutil.copy(REPOSITORY / "params.yaml", tree / "params.yaml")
    run("git", "init", "--quiet", "--initial-branch=main", cwd=tree)
    commit(tree, "Start")
    run("git", "clone", "--quiet", "--bare", str(tree), str(folder / "origin.git"), cwd=folder)
    settings = Settings(
        project_url=str(folder / "origin.git"),
        dvc_remote_url=str(folder / "store"),
        dvc_cache=folder / "cache",
        workspaces=folder / "workspaces",
    )
    toy = Toy(folder, settings)
    for made in (toy.site, toy.store, settings.workspaces):
        made.mkdir()
    toy.photo("one", "3 votes")
    return toy
