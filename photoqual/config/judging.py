"""`evaluate`, `promote`, `retrain` and `watch` of params.yaml: how models are judged, and when one is trained."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from photoqual.config.types import Positive, Share, Strict


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
