"""What people write first: a loop of full decode and Keras `model.predict`, a photo at a time.

`python rating_keras.py WIDTH PHOTO…` prints its photos per second as JSON. `python rating_keras.py --model FOLDER`
writes the untrained network of the shipped params.yaml as a model folder instead.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from photoqual.config import BackboneParams, ModelParams
from photoqual.models.backbones.build import build as build_backbone
from photoqual.models.heads import Answers
from photoqual.models.info import ModelInfo, write_info
from photoqual.models.keras_files import quiet_keras, save_keras_and_onnx
from photoqual.models.network import build, rating_model
from photoqual.photos.decode import model_size


def loop(width: int, photos: list[str]) -> float:
    """Return the photos per second; making the model and its first prediction do not count."""
    keras = quiet_keras()
    body = build_backbone(BackboneParams(), 7)
    model = keras.Sequential([body, keras.layers.Dense(1, activation="sigmoid")])
    model.predict(_pixels(photos[0], width), verbose=0)
    began = time.perf_counter()
    for photo in photos:
        model.predict(_pixels(photo, width), verbose=0)
    return len(photos) / (time.perf_counter() - began)


def _pixels(photo: str, width: int) -> np.ndarray:
    with Image.open(photo) as image:
        whole = image.convert("RGB")
    size = model_size(whole.width, whole.height, width)
    return np.asarray(whole.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)[None]


def write_model(folder: Path) -> None:
    """Write the model folder of kind gap_cnn; its weights are drawn, its speed is that of a trained one."""
    keras = quiet_keras()
    model, outputs = rating_model(build(ModelParams(kind="gap_cnn"), Answers(), 7), keras.layers.Activation("sigmoid"))
    save_keras_and_onnx(model, folder)
    info = ModelInfo(
        kind="gap_cnn",
        head="binary",
        image_width=288,
        threshold=0.5,
        sure_margin=None,
        parameters=int(model.count_params()),
        train_photos=0,
        validation_photos=0,
        best_epoch=0,
        validation_auc=0.5,
        seed=7,
        good_ranges={},
        outputs=outputs,
    )
    write_info(folder, info)


if __name__ == "__main__":
    if sys.argv[1] == "--model":
        write_model(Path(sys.argv[2]))
    else:
        print(json.dumps({"per_second": loop(int(sys.argv[1]), sys.argv[2:])}))
