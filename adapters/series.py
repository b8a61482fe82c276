"""series: a 1x1 convolution behind every 3x3 convolution, around a skip.

Rebuffi, Bilen, Vedaldi 2017, "Learning multiple visual domains with residual adapters"
(https://arxiv.org/abs/1705.08045). With y = W * x, the trunk continues with

    z = y + A_d * BN_d(y)

and the norm that follows in the trunk is the domain's too. The trunk must have been trained with adapters
inside: over an ordinary one the paper loses ten points on CIFAR-100. So train it with --no-freeze first, name
that run with --trunk; the norms inside the adapters start from it too. Starts at random, A_d from N(0, 2 /
outputs). Stored per domain: A_d (689,152 on ResNet-26) and the norms.
"""

import torch
from torch import Tensor, nn

from decathlon.adapters.parallel import AdapterOptions
from decathlon.models.footprint import Convention
from decathlon.models.layers import PointwiseConv, initialise
from decathlon.models.method import Method
from decathlon.models.surgery import own


class SeriesConv(nn.Module):
    """A convolution and its adapter, which reads the convolution's normalised output."""

    def __init__(self, conv: nn.Conv2d, init: str) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels)
        self.adapter = PointwiseConv(conv.out_channels, conv.out_channels)
        initialise(self.adapter)
        if init == "zero":
            nn.init.zeros_(self.adapter.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height/stride, width/stride)."""
        out = self.conv(x)
        total: Tensor = out + self.adapter(self.norm(out))
        return total

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """Return one convolution: (I + A S) (W * x + b) + A t, with the norm's scale S and shift t."""
        norm, mix = self.norm, self.adapter.weight[:, :, 0, 0]
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        shift = norm.bias - norm.running_mean * scale
        whole = torch.eye(len(mix), device=mix.device) + mix * scale
        plain = own(self.conv)
        plain.weight.copy_((whole @ plain.weight.flatten(1)).view_as(plain.weight))
        bias = mix @ shift if plain.bias is None else whole @ plain.bias + mix @ shift
        plain.bias = nn.Parameter(bias)
        return plain


class Series(Method):
    """Adapters at every 3x3 convolution, stem included; norms per domain."""

    group = "adapters"
    published = Convention(heads=False, norms="out", nine=True)
    inside = True
    options: AdapterOptions = AdapterOptions()

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Put an adapter behind an ungrouped 3x3 convolution; leave others alone."""
        adapted = conv.kernel_size == (3, 3) and conv.groups == 1
        return SeriesConv(conv, self.options.init) if adapted else conv
