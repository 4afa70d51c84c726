"""What every part of params.yaml is made of."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


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
