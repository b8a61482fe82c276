"""Trunks: the feature networks all domains share. `build("wrn-28-4")` makes one by its name."""

import re

from decathlon.errors import unknown
from decathlon.models.trunks.resnet26 import ResNet26
from decathlon.models.trunks.trunk import Trunk
from decathlon.models.trunks.wide_resnet import WideResNet

# Example names with a description; `build` understands every name of these forms.
TRUNKS = {
    "wrn-28-4": "MTAN's wide ResNet (any wrn-D-K with D = 6n+4), 5,850,528 parameters",
    "wrn-28-4-dan": "DAN's variant (any wrn-D-K-dan): stride on the first conv, no conv biases, 5,846,480",
    "wrn-16-2": "a small wide ResNet for 32 pixel images",
    "resnet26": "the residual adapters' post-activation ResNet-26, 5,814,688 parameters",
    "resnet26-url": "the same without its last ReLU, as Universal Representations has it",
    "timm:<name>": "any convolutional timm model; a name with a weights tag, as in resnet18.a1_in1k, is pretrained",
}


def build(name: str, empty: bool = False) -> Trunk:
    """Build a trunk by its name; raises UsageError with the nearest names.

    Weights are random, or pretrained where the name says so and `empty` is false: a trunk whose weights are
    about to be loaded, or are only counted, needs no download.
    """
    if wide := re.fullmatch(r"wrn-(\d+)-(\d+)(-dan)?", name):
        dan = wide[3] is not None
        return WideResNet(int(wide[1]), int(wide[2]), stride_first=dan, conv_bias=not dan)
    if name in ("resnet26", "resnet26-url"):
        return ResNet26(last_relu=name == "resnet26")
    if re.fullmatch("timm:.+", name):
        from decathlon.models.trunks.timm import TimmTrunk  # on demand: timm alone takes a second

        return TimmTrunk(name.removeprefix("timm:"), pretrained=False if empty else None)
    raise unknown("trunk", name, TRUNKS)
