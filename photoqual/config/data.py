"""`photos`, `labels`, `validation` and `split` of params.yaml: from photos and votes to data for training."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from photoqual.config.types import Positive, Share, Span, Strict


class PhotosParams(Strict):
    """The working copy that is kept of every photo, and how far a photo may go before it is refused."""

    max_side: Annotated[int, Field(ge=32)] = 640
    jpeg_quality: Annotated[int, Field(ge=50, le=100)] = 90
    max_megapixels: Annotated[float, Field(gt=0)] = 120.0
    max_megabytes: Annotated[float, Field(gt=0)] = 60.0
    shard_photos: Positive = 1000


class LabelsParams(Strict):
    """Which rule turns votes and hints into labels. Votes are compared on a scale of 1 to 5 stars, whatever the site's.

    `bad_at_most` is of rules `extremes` and `threshold`; `ordinal` and `distribution` call bad what is not good.
    `ordinal_levels`: the number of classes of rule `ordinal`. `prior_votes`: votes at the mean of the source that are
    added to those of each photo. `weight: votes`: photos count by how far their mean vote can be relied on.
    `balance_sources`: each source counts alike in training.
    """

    rule: Literal["extremes", "threshold", "ordinal", "distribution", "folders", "defects"] = "extremes"
    good_at_least: float = 5
    bad_at_most: float = 2
    min_votes: Annotated[int, Field(ge=0)] = 1
    exclude_categories: list[str] = []
    ordinal_levels: Annotated[int, Field(ge=2, le=100)] = 5
    prior_votes: Annotated[float, Field(ge=0)] = 0
    weight: Literal["none", "votes"] = "none"
    balance_sources: bool = False


Divergence = Annotated[float, Field(gt=0)] | None


class DivergenceParams(Strict):
    """How far each distribution may move from that of the last accepted data: Kullback-Leibler divergence in nats.
    None: it is shown and refuses nothing.
    """

    classes: Divergence = 0.1
    stars: Divergence = 0.1
    votes: Divergence = 0.5
    sizes: Divergence = 0.25
    categories: Divergence = 0.25
    brightness: Divergence = 0.25
    sharpness: Divergence = 0.25


class ValidationParams(Strict):
    """What the data must look like before anything is trained on it.

    A single number as `max_kl_divergence` is that of classes and stars. `min_compared`: with fewer photos on either
    side, only classes and stars are compared. `only_warn`: names of rules that report a failure and stop nothing.
    """

    min_photos: Positive = 50
    max_quarantined_share: Share = 0.2
    good_share: Span = (0.15, 0.85)
    max_kl_divergence: DivergenceParams = DivergenceParams()
    min_compared: Positive = 200
    only_warn: list[str] = []
    report_rows: Annotated[int, Field(ge=0, le=1000)] = 20

    @field_validator("max_kl_divergence", mode="before")
    @classmethod
    def _one_number(cls, value: object) -> object:
        return {"classes": value, "stars": value} if isinstance(value, int | float) else value


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
