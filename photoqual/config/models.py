"""`model` and `train` of params.yaml: what is trained, and how."""

from typing import Annotated, Literal

from pydantic import Field

from photoqual.config.types import Positive, Share, Strict

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
    sure and calibration stay those that held on the validation photos. `keep`: the best epoch is that with the best
    validation AUC, or with the lowest validation loss, which is steadier where few photos validate. `precision`: `auto`
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
    keep: Literal["auc", "loss"] = "auc"
    refit: bool = False
    seed: int = 7
    optimizer: OptimizerParams = OptimizerParams()
    calibration: Literal["platt", "temperature", "isotonic"] = "platt"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    cache_megabytes: Positive = 1024
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0
