"""Score photos with a model folder through ONNX Runtime: no TensorFlow, no Keras."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from photoqual.errors import ModelError
from photoqual.models.gate import GATE, Gate
from photoqual.models.heads import DEFECTS, FEATURES, SCORE
from photoqual.models.info import ONNX, ModelInfo, read_info
from photoqual.photos import decode

BATCH = 32
BATCH_PIXELS = 2_000_000
"""Photos, and pixels of them together, that are scored at once: what a network holds of them grows with both."""


def input_of(image: Image.Image | bytes, info: ModelInfo) -> np.ndarray:
    """Return a photo as the model of `info` sees it, uint8 (height, width, 3): an upright sRGB image, or the bytes of a
    stored working copy.
    """
    if isinstance(image, bytes):
        return decode.stored_input(image, info.image_width, enlarge=info.enlarge)
    return decode.model_input(image, info.image_width, enlarge=info.enlarge)


class Scorer:
    """A loaded model: `score` maps pixels to the probability that a photo is good. `gate` is None where the model has
    none.
    """

    def __init__(self, info: ModelInfo, session: Any, folder: Path, gate: Gate | None = None) -> None:
        self.info = info
        self.folder = folder
        self.gate = gate
        self._session = session
        names = [output.name for output in session.get_outputs()]
        self._outputs = dict(zip(info.outputs, names, strict=True))

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
        options.enable_mem_pattern = False  # made for inputs of one shape: a third more memory for ours
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a family of its own C++ exceptions
            raise ModelError(f"{path} cannot be loaded: {error}.", next_step="Train the model again.") from None
        gate = Gate.load(folder)
        _check_signature(session, path, info)
        _check_gate(gate, session, folder, info)
        return cls(info, session, folder, gate)

    @property
    def answers(self) -> str:
        """What the model's score means, in words: two models can only be compared when it is the same. Whatever its head,
        it is the probability of the same labels.
        """
        return "/".join(self.info.labels)

    def score(self, photos: Sequence[np.ndarray]) -> np.ndarray:
        """Return the score, 0 to 1, of each of `photos`: uint8 arrays (height, width, 3) made by
        `input_of`. Photos of one shape share a batch.
        """
        if not photos:
            return np.empty(0)
        return self.answers_of(photos, (SCORE,))[SCORE].astype(float).reshape(len(photos))

    def answers_of(self, photos: Sequence[np.ndarray], names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Return what the model says of each of `photos`, see `score`, by the names of its outputs: float32
        (n, units). Without `names`: all but the features, and these too where there is a gate that asks for them.
        """
        if names is None:
            names = [name for name in self.info.outputs if name != FEATURES or self.gate is not None]
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, photo in enumerate(photos):
            by_shape[photo.shape].append(index)
        pixels_name = self._session.get_inputs()[0].name
        found: dict[str, np.ndarray] = {}
        for shape, indices in by_shape.items():
            at_once = max(1, min(BATCH, BATCH_PIXELS // (shape[0] * shape[1])))
            for start in range(0, len(indices), at_once):
                batch = indices[start : start + at_once]
                pixels = np.stack([photos[index] for index in batch]).astype(np.float32)
                given = self._session.run([self._outputs[name] for name in names], {pixels_name: pixels})
                for name, values in zip(names, given, strict=True):
                    rows = found.setdefault(name, np.empty((len(photos), values.size // len(batch)), np.float32))
                    rows[batch] = values.reshape(len(batch), -1)
        return found or {name: np.empty((0, 1), np.float32) for name in names}


def _check_signature(session: Any, path: Path, info: ModelInfo) -> None:
    """Raise ModelError unless the model takes float pixels (n, height, width, 3) and gives what model.json names: a
    number per photo first.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    told = [f"{part.name} {part.type} {part.shape}" for part in (*inputs, *outputs)]
    pixels = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape or ()) == 4
    named = len(outputs) == len(info.outputs) and info.outputs[0] == SCORE and len(set(info.outputs)) == len(outputs)
    units = {name: (output.shape or [0])[-1] for name, output in zip(info.outputs, outputs, strict=False)}
    scores = named and units[SCORE] == 1
    defects = DEFECTS not in units or not isinstance(units[DEFECTS], int) or units[DEFECTS] == len(info.defects)
    if not (pixels and inputs[0].shape[-1] == 3 and scores and defects):
        raise ModelError(
            f"{path} has another signature ({'; '.join(told)}) than pixels in, {', '.join(info.outputs)} out.",
            next_step="Train the model again with this version of photoqual.",
        )


def _check_gate(gate: Gate | None, session: Any, folder: Path, info: ModelInfo) -> None:
    """Raise ModelError when the gate is of another model: one without features, or with another number of them."""
    if gate is None:
        return
    units = session.get_outputs()[info.outputs.index(FEATURES)].shape[-1] if FEATURES in info.outputs else 0
    if isinstance(units, int) and units != len(gate.mean):
        raise ModelError(
            f"{folder / GATE} is for {len(gate.mean)} features, and the model gives {units}.",
            next_step="Train the model again; both files must come from one training.",
        )
