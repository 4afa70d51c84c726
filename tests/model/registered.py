"""For tests of evaluation and registry: a project whose photos are of one colour each, and models of five weights.

Good photos are clearly redder and slightly bluer than bad ones, so a model that looks at red beats one that looks at
blue, and by how much is known beforehand. The ONNX graph and the Keras model are written independently.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import yaml
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from photoqual.config import PhotosParams
from photoqual.labels.splits import write_frozen
from photoqual.layout import Layout
from photoqual.models.info import KERAS, ONNX, TRAINED_ON, ModelInfo, read_info, write_info
from photoqual.photos.decode import working_copy
from photoqual.photos.fingerprints import photo_id
from photoqual.photos.shards import write_shard
from photoqual.registry.store import MODEL_NAME, connected
from tests.conftest import NOW, encoded

SHARD = "made/2026-11/00000.parquet"
RED, BLUE, GREEN = (0.05, 0.0, 0.0), (0.0, 0.0, 0.05), (0.0, 0.05, 0.0)
"""Weights of a model: red tells good from bad well, blue a little, green not at all."""
UNGUARDED = {
    "promote.guardrails.max_calibration_error": 1.0,
    "promote.guardrails.max_rises": {"compressed": 1.0, "noisy": 1.0},
}
"""Limits for models that know the mean colour alone: they see neither noise nor compression."""
HISTORY = (
    "epoch,loss,loss_moving_average,validation_loss,validation_auc,seconds\n1,0.9,0.9,0.8,0.7,1\n2,0.5,0.7,0.6,0.75,1\n"
)


def coloured_project(root: Path, photos: int = 160, per_group: int = 1, seed: int = 3) -> Layout:
    """Write a shard, a frozen test set of all its photos, and a dvc.lock that names it."""
    layout = Layout(root)
    draw = np.random.default_rng(seed)
    rows, stored = [], []
    for index in range(photos):
        good = index % 2
        colour = np.array([120 + 50 * good, 120, 120 + 12 * good]) + draw.normal(0, 24, 3)
        data = encoded(Image.new("RGB", (48, 32), tuple(int(value) for value in np.clip(colour, 0, 255))), "PNG")
        data += index.to_bytes(2, "big")  # equal colours stay different photos
        copy = working_copy(data, PhotosParams())
        ids = {"photo_id": photo_id(data), "phash": "", "width": copy.width, "height": copy.height}
        stored.append(
            {
                **ids,
                "image": {"bytes": copy.jpeg, "path": None},
                "source": "made",
                "source_key": str(index),
                "fetched_at": NOW,
            }
        )
        rows.append(
            {
                **ids,
                "group": f"g{index // per_group}",
                "good": good,
                "stars": 1.0 + 4 * good,
                "source": "made",
                "category": None,
                "uploaded_at": NOW,
                "shard": SHARD,
                "row": index,
            }
        )
    write_shard(layout.photos / SHARD, stored)
    write_frozen(layout.frozen_test, pd.DataFrame(rows))
    write_lock(layout)
    return layout


def write_lock(layout: Layout, photos: str = "1" * 32) -> None:
    """Write a dvc.lock as DVC would; `photos` is the hash of the photos."""
    outs = {"data/photos": f"{photos}.dir", "data/catalog": f"{'2' * 32}.dir"}
    for number, file in enumerate((layout.labels, layout.frozen_test), start=3):
        known = (
            hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() if file.is_file() else str(number) * 32
        )
        outs[file.relative_to(layout.root).as_posix()] = known
    stage = {
        "cmd": "python -m photoqual refresh",
        "outs": [{"path": path, "hash": "md5", "md5": md5} for path, md5 in outs.items()],
    }
    layout.lock.write_text(yaml.safe_dump({"schema": "2.0", "stages": {"refresh": stage}}))


def tiny_model(
    folder: Path,
    weights: Sequence[float],
    bias: float = -6.5,
    *,
    trained_on: Sequence[str] = ("0" * 64,),
    keras_bias: float | None = None,
) -> Path:
    """Write a whole model folder, as training does; loads TensorFlow."""
    tiny_folder(folder, weights, bias, trained_on=trained_on)
    tiny_keras(folder, weights, bias if keras_bias is None else keras_bias)
    return folder


def tiny_folder(
    folder: Path, weights: Sequence[float], bias: float = -6.5, *, trained_on: Sequence[str] = ("0" * 64,)
) -> Path:
    """Write a model folder without model.keras: score = sigmoid(weights · mean colour + bias)."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_onnx(folder, weights, bias)
    info = ModelInfo(
        kind="logistic",
        head="binary",
        image_width=48,
        threshold=0.5,
        sure_margin=0.25,
        parameters=4,
        train_photos=len(trained_on),
        validation_photos=1,
        best_epoch=2,
        validation_auc=0.75,
        seed=7,
        good_ranges={},
    )
    write_info(folder, info)
    pd.DataFrame({"photo_id": list(trained_on)}).to_parquet(folder / TRAINED_ON, index=False)
    (folder / "history.csv").write_text(HISTORY)
    return folder


def tiny_onnx(folder: Path, weights: Sequence[float], bias: float) -> None:
    """Write model.onnx: mean over the photo, product, sum, sigmoid."""
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(weights, np.float32)[:, None], "weights"),
        numpy_helper.from_array(np.float32(bias), "bias"),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", "h", "w", 3])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])
    graph = helper.make_graph(nodes, "tiny", [pixels], [score], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), folder / ONNX)


def side_folder(folder: Path) -> Path:
    """Write a model folder without model.keras: the score is a thousandth of the width of the input in px, the features
    are the mean colour as parts of 1.
    """
    tiny_folder(folder, RED)
    nodes = [
        helper.make_node("Shape", ["pixels"], ["shape"]),
        helper.make_node("Gather", ["shape", "second"], ["width"]),
        helper.make_node("Cast", ["width"], ["side"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["mean", "part"], ["features"]),
        helper.make_node("ReduceMean", ["mean"], ["one"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["one", "none"], ["nothing"]),
        helper.make_node("Mul", ["side", "thousandth"], ["told"]),
        helper.make_node("Add", ["nothing", "told"], ["score"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(2, np.int64), "second"),
        numpy_helper.from_array(np.float32(1 / 255), "part"),
        numpy_helper.from_array(np.float32(0), "none"),
        numpy_helper.from_array(np.float32(1e-3), "thousandth"),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", "h", "w", 3])
    given = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("score", 1), ("features", 3))
    ]
    graph = helper.make_graph(nodes, "side", [pixels], given, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), folder / ONNX)
    write_info(folder, read_info(folder).model_copy(update={"outputs": ("score", "features")}))
    return folder


def tiny_keras(folder: Path, weights: Sequence[float], bias: float) -> None:
    """Write model.keras: global average pooling and one dense unit."""
    from photoqual.models.keras_files import quiet_keras

    keras = quiet_keras()
    pixels = keras.Input((None, None, 3))
    dense = keras.layers.Dense(1, activation="sigmoid", name="score")
    model = keras.Model(pixels, dense(keras.layers.GlobalAveragePooling2D()(pixels)))
    dense.set_weights([np.array(weights, np.float32)[:, None], np.array([bias], np.float32)])
    model.save(folder / KERAS)


def aliases(layout: Layout) -> dict[str, str]:
    """Return the versions of the registry by alias."""
    with connected(layout.root) as client:
        return {alias: str(version) for alias, version in client.get_registered_model(MODEL_NAME).aliases.items()}
