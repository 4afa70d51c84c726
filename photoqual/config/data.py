"""`photos`, `labels`, `validation` and `split` of params.yaml: from photos and votes to data for training."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from photoqual.config.types import Positive, Share, Span, Strict


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
