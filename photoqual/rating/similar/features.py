"""Rate photos and say in the same pass where they lie in the model's space."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from photoqual.models.heads import FEATURES
from photoqual.models.scorer import Scorer
from photoqual.rating.rater import Rating, Skipped, rate_with
from photoqual.rating.similar.space import Space

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Placed(Generic[T]):
    """A rating, where the photo lies in the model's space, (dims,), and what was made of its image."""

    rating: Rating
    vector: np.ndarray
    seen: T


def placed(
    scorer: Scorer, photos: Iterable[Path | Skipped], model: str, look: Callable[[Image.Image], T]
) -> Iterator[Placed[T] | Skipped]:
    """Yield each of `photos` rated and placed, or why not, in their order; `look` is called as by `rate_with`. Raise
    ConfigError for a model without features.
    """
    tapped = _Tapped(scorer, Space.of(scorer))
    for found in rate_with(tapped, photos, model, lambda image: (tapped.last(), look(image))):
        yield found if isinstance(found, Skipped) else Placed(found[0], *found[1])


class _Tapped(Scorer):
    """A scorer that remembers where the photo lies that it was asked about last, by thread: `rate_with` scores and looks at
    one photo after the other in each of its threads.
    """

    def __init__(self, scorer: Scorer, space: Space) -> None:
        super().__init__(scorer.info, scorer._session, scorer.folder, scorer.gate)
        self._space = space
        self._thread = threading.local()

    def last(self) -> np.ndarray:
        """Return where the last photo of this thread lies, (dims,)."""
        return self._thread.vector

    def answers_of(self, photos: Sequence[np.ndarray], names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        found = super().answers_of(photos, self.info.outputs if names is None else names)
        if FEATURES in found and len(photos):
            self._thread.vector = self._space.place(found[FEATURES][-1:])[0]
        return found
