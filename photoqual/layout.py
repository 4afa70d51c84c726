"""Where each file of a project lies: the one place that names them. `dvc.yaml` names the same files for DVC."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The files of one project, relative to `root` (default: the folder you stand in)."""

    root: Path = field(default_factory=Path)

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def lock(self) -> Path:
        return self.root / "dvc.lock"

    @property
    def photos(self) -> Path:
        return self.root / "data/photos"

    @property
    def catalog(self) -> Path:
        return self.root / "data/catalog"

    @property
    def votes(self) -> Path:
        """What each photo's votes were whenever they had changed."""
        return self.root / "data/votes"

    @property
    def forgotten(self) -> Path:
        """Which photos must not come back; kept by git."""
        return self.root / "data/forgotten.jsonl"

    @property
    def labels(self) -> Path:
        return self.root / "data/labels.parquet"

    @property
    def accepted(self) -> Path:
        """The label distribution that passed validation last: what the next one is compared with."""
        return self.root / "data/accepted.json"

    @property
    def acceptances(self) -> Path:
        """Who accepted which change of the data, when and why; kept by git."""
        return self.root / "data/acceptances.jsonl"

    @property
    def splits(self) -> Path:
        return self.root / "data/splits.parquet"

    @property
    def frozen_test(self) -> Path:
        return self.root / "data/frozen_test.parquet"

    @property
    def challenger(self) -> Path:
        return self.root / "models/challenger"

    @property
    def validation(self) -> Path:
        return self.root / "reports/validation"

    @property
    def evaluation(self) -> Path:
        return self.root / "reports/evaluation"

    @property
    def overview(self) -> Path:
        """The page and pictures of `photoqual catalog --votes-over-time`."""
        return self.root / "reports/catalog"

    @property
    def promotion(self) -> Path:
        """The verdict of the last promotion made here, and its report page."""
        return self.root / "reports/promotion"

    @property
    def watch(self) -> Path:
        """What the last watch of the champion made here found, and its page."""
        return self.root / "reports/watch"

    @property
    def metrics(self) -> Path:
        return self.evaluation / "metrics.json"

    @property
    def predictions(self) -> Path:
        return self.evaluation / "predictions.parquet"
