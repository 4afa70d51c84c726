"""params.yaml as frozen, strict models: a typo fails here, before anything runs.

Every hyperparameter has its one place in params.yaml; what differs between machines (addresses, folders) is an
environment variable and lives in `settings.py`. A key that is left out has the default below; the shipped params.yaml
writes them all out, with values of its own for the demo.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from photoqual.errors import ConfigError


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Folder = Annotated[str, Field(min_length=1)]


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if not pair[0] < pair[1]:
        raise ValueError(f"the first number has to be the smaller one, not {pair[0]:g} and {pair[1]:g}")
    return pair


Span = Annotated[tuple[float, float], AfterValidator(_rising)]


class Politeness(Strict):
    """How a source may use a server: one place for delay, identity, retries and time limits."""

    user_agent: str = "photoqual (+https://github.com/photoqual/photoqual)"
    delay_seconds: Annotated[float, Field(ge=0)] = 1.0
    concurrency: Positive = 2
    timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    retries: Annotated[int, Field(ge=0)] = 3
    obey_robots: bool = True
    allow_private_addresses: bool = False


class Selectors(Strict):
    """CSS selectors (with Scrapy's ::text and ::attr(name)) for sites without schema.org markup."""

    rating: str
    votes: str
    image: str
    category: str | None = None
    uploaded: str | None = None
    width: str | None = None
    height: str | None = None
    title: str | None = None


class GallerySource(Strict):
    """A web site with a page per photo: schema.org AggregateRating by default, or CSS selectors.

    Only the hosts of `start` are fetched from, and those of `image_hosts` (`host` or `host:port`). `group` is
    `photo` (each alone), `category`, `day` (of the upload), or a CSS selector of the group's name on the photo's page.
    """

    kind: Literal["gallery"] = "gallery"
    start: Annotated[list[Annotated[str, Field(pattern=r"^https?://[^/]")]], Field(min_length=1)]
    image_hosts: list[str] = []
    photo_links: str = "a.photo::attr(href)"
    next_links: str = "a[rel=next]::attr(href)"
    rating_scale: Span = (1.0, 5.0)
    group: Literal["photo", "category", "day"] | str = "photo"
    selectors: Selectors | None = None
    politeness: Politeness = Politeness()


class FoldersSource(Strict):
    """Photos in folders; the folder is the label. Without `bad`, each folder that is not good is a class of its own.

    The group is what `group_pattern` finds in the photo's path (its first group, or the whole match), or what the
    table `groups_csv` gives in column `groups_group` for the file name or path in column `groups_image`.
    """

    kind: Literal["folders"] = "folders"
    path: Folder
    good: list[str] = ["good"]
    bad: list[str] | None = None
    group_pattern: str | None = None
    groups_csv: str | None = None
    groups_image: str = "filename"
    groups_group: str = "group"


class VotesSource(Strict):
    """A folder of images and a CSV with a row per image: name, mean vote, number of votes."""

    kind: Literal["votes"] = "votes"
    path: Folder
    csv: str
    image: str = "image"
    mean: str = "mean"
    count: str | None = "votes"
    group: str | None = None
    category: str | None = None
    rating_scale: Span = (1.0, 5.0)


class DemoSource(Strict):
    """The embedded demo site, scraped over HTTP by the gallery code. Its votes are simulated.

    `url` names a site that already runs; without it one is started on loopback for the time of the refresh and
    shows what `edition` of it holds.
    """

    kind: Literal["demo"] = "demo"
    url: str | None = None
    edition: Positive = 1


Source = Annotated[GallerySource | FoldersSource | VotesSource | DemoSource, Field(discriminator="kind")]


class PhotosParams(Strict):
    """The working copy that is kept of every photo, and how far a photo may go before it is refused."""

    max_side: Annotated[int, Field(ge=32)] = 640
    jpeg_quality: Annotated[int, Field(ge=50, le=100)] = 90
    max_megapixels: Annotated[float, Field(gt=0)] = 120.0
    max_megabytes: Annotated[float, Field(gt=0)] = 60.0
    shard_photos: Positive = 1000


class LabelsParams(Strict):
    """Which rule turns votes into labels. Votes are compared on a scale of 1 to 5 stars, whatever the site's scale."""

    rule: Literal["extremes", "threshold", "folders"] = "extremes"
    good_at_least: float = 5
    bad_at_most: float = 2
    min_votes: Annotated[int, Field(ge=0)] = 1
    exclude_categories: list[str] = []


class ValidationParams(Strict):
    """What the data must look like before anything is trained on it."""

    min_photos: Positive = 50
    max_quarantined_share: Share = 0.2
    good_share: Span = (0.15, 0.85)
    max_kl_divergence: Annotated[float, Field(gt=0)] = 0.1


class SplitParams(Strict):
    train: Share = 0.64
    validation: Share = 0.16
    test: Share = 0.20
    by: Literal["group"] = "group"
    seed: int = 20
    near_duplicate_bits: Annotated[int, Field(ge=0, le=3)] = 3

    @model_validator(mode="after")
    def _shares_add_up(self) -> "SplitParams":
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError("train, validation and test must add up to 1")
        return self


BackboneName = Literal[
    "efficientnet_lite0",
    "efficientnet_lite2",
    "vgg16",
    "resnet50",
    "inception_v3",
    "efficientnet_b0",
    "efficientnet_b7",
    "xception",
]


class BackboneParams(Strict):
    """The pretrained network of kind `transfer`.

    `weights`: `imagenet`, `none`, or the path of a file. `pooling`: `last` averages the last feature map; `levels`
    takes mean and standard deviation of every block, which keeps low-level damage visible, or of the last `levels`
    of them alone, which tell more of what a photo shows. `trainable_blocks`: how many of the last blocks are fine-tuned.
    """

    name: BackboneName = "efficientnet_lite0"
    weights: Annotated[str, Field(min_length=1)] = "imagenet"
    pooling: Literal["last", "levels"] = "levels"
    levels: Positive | Literal["all"] = "all"
    trainable_blocks: Annotated[int, Field(ge=0)] | Literal["all"] = 0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2


Part = Literal["binary", "distribution", "defects"]


class ModelParams(Strict):
    """What is trained. `heads` names the parts of head `several`; a photo may lack the label of any of them."""

    kind: Literal["logistic", "hidden", "cnn_grey", "cnn_colour", "gap_cnn", "transfer"] = "gap_cnn"
    head: Literal["binary", "softmax", "linear", "ordinal", "distribution", "defects", "several"] = "binary"
    heads: Annotated[list[Part], Field(min_length=1)] = ["binary", "defects"]
    image_width: Annotated[int, Field(ge=32)] = 480
    backbone: BackboneParams = BackboneParams()


class OptimizerParams(Strict):
    """`momentum` is that of sgd and rmsprop, `weight_decay` that of adamw. `warmup`: the share of all steps over
    which the rate rises from nothing. `clip_norm` bounds the norm of all gradients together, `clip_value` each number.
    """

    name: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    clip_value: Annotated[float, Field(gt=0)] | None = None
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0


class AugmentParams(Strict):
    """Changes of a training photo that leave its quality as it is. `crop`: the share of each side that is cut away, at
    a random place. `colour`: the largest relative change of each channel.
    """

    flip: bool = True
    crop: Annotated[float, Field(ge=0, lt=0.9)] = 0.0
    colour: Annotated[float, Field(ge=0, lt=0.5)] = 0.0


class TrainParams(Strict):
    """How it is trained.

    `damage`: the share of good training photos that get a synthetic defect, drawn anew each epoch. `refit`: the heads of
    a frozen body are trained once more on training and validation photos together, for as many epochs as were best;
    sure and calibration stay those that held on the validation photos. `precision`: `auto`
    is float32 on a CPU and mixed on a GPU. `cache_megabytes`: decoded photos (or features of a frozen backbone) that
    are held in memory; the rest waits on disk.
    """

    epochs: Positive = 30
    batch_size: Positive = 4
    oversample: bool = True
    class_weights: bool = False
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    augment: AugmentParams = AugmentParams()
    damage: Share = 0.0
    patience: Positive = 6
    refit: bool = False
    seed: int = 7
    optimizer: OptimizerParams = OptimizerParams()
    calibration: Literal["platt", "temperature", "isotonic"] = "platt"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    cache_megabytes: Positive = 1024
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0


class EvaluateParams(Strict):
    """How the frozen test set is judged. `keep_share`: what part of the best photos a reduced gallery has to hold;
    `seconds_per_photo`: the pace at which a person looks through one.
    """

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    grid_photos: Positive = 12
    keep_share: Annotated[float, Field(gt=0, le=1)] = 0.95
    seconds_per_photo: Annotated[float, Field(gt=0)] = 2.0


class RisesParams(Strict):
    """Per damage: the largest share of good frozen photos whose damaged version may score above the original."""

    darkened: Share = 0.1
    blurred: Share = 0.2
    compressed: Share = 0.75
    noisy: Share = 0.2
    black: Share = 0.1


class ChangesParams(Strict):
    """Per harmless change: how far the score may move, as the 90 % quantile of the absolute difference."""

    flipped: Share = 0.3
    cropped: Share = 0.3


Slice = Literal["source", "category", "upload_year", "orientation", "brightness"]


class GuardrailParams(Strict):
    """What a challenger must not break, whatever its AUC: see docs/how-to/guardrails.md."""

    max_calibration_error: Share = 0.2
    max_unsure_share: Share = 1.0
    slices: list[Slice] = ["source", "category", "upload_year", "orientation", "brightness"]
    max_slice_loss: Share = 0.05
    min_slice_photos: Positive = 30
    max_slowdown: Annotated[float, Field(gt=0)] = 50.0
    min_photos_per_second: Annotated[float, Field(ge=0)] = 1.0
    max_model_megabytes: Annotated[float, Field(gt=0)] = 200.0
    check_photos: Positive = 200
    max_rises: RisesParams = RisesParams()
    max_changes: ChangesParams = ChangesParams()


def _mode(value: Any) -> Any:
    """Take what YAML 1.1 makes of a bare on or off."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


class PromoteParams(Strict):
    """When a challenger replaces the champion: see docs/promotion.md.

    `mode`: `on` moves the alias, `dry_run` judges and writes the verdict but moves nothing, `off` does not judge.
    `confidence` holds for a frozen test set's whole life; each further verdict on it is given a smaller part.
    """

    mode: Annotated[Literal["off", "dry_run", "on"], BeforeValidator(_mode)] = "on"
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    min_delta_auc: Annotated[float, Field(ge=0, lt=1)] = 0.0
    require_approval: bool = False
    approval_hours: Annotated[float, Field(gt=0)] = 24.0
    guardrails: GuardrailParams = GuardrailParams()


class RetrainParams(Strict):
    """When training again is worth it: any one of these is reason enough."""

    min_new_labels: Positive = 20
    max_age_days: Annotated[float, Field(gt=0)] = 30.0
    on_code_change: bool = True
    on_params_change: bool = True


class WatchParams(Strict):
    """How the champion is watched on photos that came after its training, and what counts as an alarm.

    `max_psi`: population stability index of score or a feature. `max_two_sample_auc`: how well a classifier may tell
    new photos from those of the training. `max_auc_loss`: how far the AUC on new photos may lie, beyond chance, below
    that on the frozen test set.
    """

    newest_photos: Positive = 500
    min_photos: Positive = 50
    max_psi: Annotated[float, Field(gt=0)] = 0.25
    max_two_sample_auc: Annotated[float, Field(gt=0.5, le=1)] = 0.75
    max_auc_loss: Share = 0.05
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.99


class Params(Strict):
    sources: Annotated[dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")], Source], Field(min_length=1)]
    photos: PhotosParams
    labels: LabelsParams
    validation: ValidationParams
    split: SplitParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    promote: PromoteParams
    retrain: RetrainParams = RetrainParams()
    watch: WatchParams = WatchParams()


def parse_params(values: Any, *, origin: str = "params.yaml") -> Params:
    """Check `values` (what YAML gave) and return them as Params. Raise ConfigError that names each bad key."""
    try:
        return Params.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in item['loc']) or '(top)'}: {item['msg']}" for item in error.errors()
        ]
        raise ConfigError(
            f"{origin} has {len(lines)} problem(s):\n" + "\n".join(lines) + "\n",
            next_step="Mend these keys; `photoqual schema` prints every key that exists.",
        ) from None


def load_params(path: Path) -> Params:
    """Read and check params.yaml."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist.", next_step="Run from the project's root, or copy the shipped params.yaml there."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}.", next_step="Mend that line.") from None
    return parse_params(values, origin=str(path))
