"""Rung 6: a network pretrained on ImageNet, frozen or fine-tuned from its last blocks on."""

from photoqual.config import BackboneParams
from photoqual.models.backbones.build import build as build_backbone
from photoqual.models.body import Body


def build(params: BackboneParams, seed: int) -> Body:
    """Return the backbone of `params` with its pooled features. Raise ModelError when its weights cannot be had."""
    return Body(
        build_backbone(params, seed),
        frozen=params.trainable_blocks == 0,
        standardise=True,
        dropout=params.dropout,
        zeros=True,
    )
