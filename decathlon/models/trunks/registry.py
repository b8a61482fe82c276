"""Trunks: the feature networks all domains share. `build("wrn-28-4")` makes one by its name."""

from __future__ import annotations

import re
from collections.abc import Callable

from decathlon.errors import unknown
from decathlon.models.trunks.trunk import Trunk

# Example names with a description; `build` understands every name of these forms.
TRUNKS = {
    "wrn-28-4": "MTAN's wide ResNet (any wrn-D-K with D = 6n+4), 5,850,528 parameters",
    "wrn-28-4-dan": "DAN's variant (any wrn-D-K-dan): stride on the first conv, no conv biases, 5,846,480",
    "wrn-16-2": "a small wide ResNet for 32 pixel images",
    "resnet26": "the residual adapters' post-activation ResNet-26, 5,814,688 parameters",
    "timm:<name>": "any convolutional timm model; a name with a weights tag, as in resnet18.a1_in1k, is pretrained",
}


def build(name: str, empty: bool = False) -> Trunk:
    """Build a trunk by its name; raises UsageError with the nearest names.

    Weights are random, or pretrained where the name says so and `empty` is false: a trunk whose weights are
    about to be loaded, or are only counted, needs no download.
    """
    for pattern, make in _FORMS:
        match = re.fullmatch(pattern, name)
        if match:
            return make(match, empty)
    raise unknown("trunk", name, TRUNKS)


# Imported on demand: timm alone takes a second.
def _wide(match: re.Match[str], empty: bool) -> Trunk:
    from decathlon.models.trunks.wide_resnet import WideResNet

    dan = match[3] is not None
    return WideResNet(int(match[1]), int(match[2]), stride_first=dan, conv_bias=not dan)


def _resnet26(match: re.Match[str], empty: bool) -> Trunk:
    from decathlon.models.trunks.resnet26 import ResNet26

    return ResNet26()


def _timm(match: re.Match[str], empty: bool) -> Trunk:
    from decathlon.models.trunks.timm import TimmTrunk

    return TimmTrunk(match[1], pretrained=False if empty else None)


_FORMS: list[tuple[str, Callable[[re.Match[str], bool], Trunk]]] = [
    (r"wrn-(\d+)-(\d+)(-dan)?", _wide),
    (r"resnet26", _resnet26),
    (r"timm:(.+)", _timm),
]
