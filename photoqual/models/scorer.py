"""Score photos with a model folder through ONNX Runtime: no TensorFlow, no Keras."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from photoqual.errors import ModelError
from photoqual.models.info import ONNX, ModelInfo, read_info

BATCH = 32


class Scorer:
    """A loaded model: `score` maps pixels to the probability that a photo is good."""

    def __init__(self, info: ModelInfo, session: "object", folder: Path) -> None:
        self.info = info
        self.folder = folder
        self._session = session

    @classmethod
    def load(cls, folder: Path, *, threads: int = 0) -> Self:
        """Load the model in `folder`; `threads` = 0 uses all cores. Raise ModelError when a file is missing or broken."""
        import onnxruntime

        info = read_info(folder)
        path = folder / ONNX
        if not path.is_file():
            raise ModelError(f"{path} does not exist.", next_step="Train the model again: `photoqual train` writes it.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a family of its own C++ exceptions
            raise ModelError(f"{path} cannot be loaded: {error}.", next_step="Train the model again.") from None
        _check_signature(session, path)
        return cls(info, session, folder)

    @property
    def answers(self) -> str:
        """What the model's score means, in words: two models can only be compared when it is the same."""
        return f"{self.info.head} {self.info.labels[0]}/{self.info.labels[1]}"

    def score(self, photos: Sequence[np.ndarray]) -> np.ndarray:
        """Return the score, 0 to 1, of each of `photos`: uint8 arrays (height, width, 3) made by
        `photos.decode.model_input` at `info.image_width`. Photos of one shape share a batch.
        """
        scores = np.full(len(photos), np.nan)
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, photo in enumerate(photos):
            by_shape[photo.shape].append(index)
        name = self._session.get_inputs()[0].name  # type: ignore[attr-defined]
        for indices in by_shape.values():
            for start in range(0, len(indices), BATCH):
                batch = indices[start : start + BATCH]
                pixels = np.stack([photos[index] for index in batch]).astype(np.float32)
                scores[batch] = self._session.run(None, {name: pixels})[0].reshape(len(batch))  # type: ignore[attr-defined]
        return scores


def _check_signature(session: object, path: Path) -> None:
    """Raise ModelError unless the model takes float pixels (n, height, width, 3) and gives a number per photo."""
    inputs, outputs = session.get_inputs(), session.get_outputs()  # type: ignore[attr-defined]
    told = [f"{part.name} {part.type} {part.shape}" for part in (*inputs, *outputs)]
    pixels = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape or ()) == 4
    scores = bool(outputs) and (outputs[0].shape or [0])[-1] == 1
    if not (pixels and inputs[0].shape[-1] == 3 and scores):
        raise ModelError(
            f"{path} has another signature ({'; '.join(told)}) than pixels in, one score out.",
            next_step="Train the model again with this version of photoqual.",
        )
