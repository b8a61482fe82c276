"""tensor-factor: what domains differ in is a combination of a few basis tensors that all of them share.

Yang and Hospedales 2017, "Deep multi-task representation learning: a tensor factorisation approach"
(https://arxiv.org/abs/1605.06391). At every convolution, basis 0 the trunk, whose coefficient is 1 for all:

    laf:     W_d = W + sum over c of a_dc B_c              B_c: a tensor of the weight's shape
    tucker:  W_d = W + U (sum over c of a_dc S_c) V^T       U: outputs x r, V: inputs x s, S_c: r x s x h x w

`laf` is the paper's flattening along the last axis, the one of the domains. The same operator as cross-stitch, seen
as a factorisation: another start, one basis that is the same for all, and no rate of its own for the coefficients.
Starts near the trunk: B_c and S_c from N(0, 0.01^2), a_d from N(0, 1). Over a run of separate networks (`finetune`,
`scratch`) it starts at them, as near as the rank allows: the mean is basis 0, and the singular value decomposition
of the rest, cut to `columns` - 1, gives a and B (for `tucker`, after projection on the leading directions of
outputs and inputs). r and s are `rank` times outputs and inputs.
Stored per domain: C - 1 numbers a convolution, and the norms; shared beside the trunk: the bases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from decathlon.adapters.cross_stitch import Columns
from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.layers import EditedConv
from decathlon.models.method import Learned, Method, Options, Regime, option
from decathlon.models.surgery import Beside
from decathlon.models.trunks.trunk import Trunk

NEAR = 0.01
SEPARATE = ("finetune", "scratch", "trace-norm", "soft")  # runs whose domains have whole networks of their own


@dataclass(frozen=True)
class TensorFactorOptions(Options):
    """The bases."""

    columns: int = option(3, "bases, the trunk among them")
    form: Literal["laf", "tucker"] = option("laf", "bases as whole tensors, or in factors (tucker)")
    rank: float = option(0.5, "tucker: directions of outputs and inputs, as a fraction of them")

    def __post_init__(self) -> None:
        if not 2 <= self.columns <= 64:
            raise UsageError(f"method 'tensor-factor': columns is {self.columns}, it must be from 2 to 64.")
        if not 0 < self.rank <= 1:
            raise UsageError(f"method 'tensor-factor': rank is {self.rank}, it must be above 0, at most 1.")


class TuckerColumns(nn.Module):
    """Bases in factors at one convolution."""

    def __init__(self, shape: torch.Size, columns: int, rank: float) -> None:
        super().__init__()
        rows, inputs = (max(1, int(rank * size)) for size in shape[:2])
        self.cores = Columns(NEAR * torch.randn(rows, inputs, *shape[2:]) for _ in range(columns))
        self.left = nn.Parameter(nn.init.orthogonal_(torch.empty(shape[0], rows)))
        self.right = nn.Parameter(nn.init.orthogonal_(torch.empty(shape[1], inputs)))

    def mix(self, coefficients: Tensor) -> Tensor:
        """Return the combination with coefficients (columns,): (outputs, inputs, height, width)."""
        return torch.einsum("or,is,rshw->oihw", self.left, self.right, self.cores.mix(coefficients))

    @torch.no_grad()
    def start(self, differences: Tensor) -> Tensor:
        """Start from (domains, outputs, inputs, height, width); return coefficients (domains, columns)."""
        for factor, axis in ((self.left, 1), (self.right, 2)):
            flat = differences.movedim(axis, 0).flatten(1).double()
            factor.copy_(torch.linalg.svd(flat, full_matrices=False)[0][:, : factor.shape[1]])
        return start(self.cores, torch.einsum("or,is,doihw->drshw", self.left, self.right, differences))


class Combination(nn.Module):
    """A domain's combination at one convolution: the trunk's weight to one of the same shape."""

    def __init__(self, bases: nn.Module, coefficients: Tensor) -> None:
        super().__init__()
        self.bases = bases
        self.coefficients = nn.Parameter(coefficients)

    def forward(self, weight: Tensor) -> Tensor:
        """Return W + the combination of the bases."""
        beside: Tensor = cast(Columns | TuckerColumns, self.bases).mix(self.coefficients)
        return weight + beside


@torch.no_grad()
def start(columns: Columns, differences: Tensor) -> Tensor:
    """Set columns so that their combinations are nearest to `differences` (domains, ...); return the coefficients.

    Columns beyond the number of domains are 0. The root of each singular value is on both sides.
    """
    left, values, right = torch.linalg.svd(differences.flatten(1).double(), full_matrices=False)
    coefficients = torch.zeros(len(differences), len(columns))
    for c, column in enumerate(columns):
        known = c < len(values)
        column.copy_(values[c].sqrt() * right[c].view(column.shape) if known else torch.zeros_like(column))
        if known:
            coefficients[:, c] = (values[c].sqrt() * left[:, c]).float()
    return coefficients


class TensorFactor(Method):
    """A combination of bases at every convolution; norms per domain."""

    group = "sharing"
    regimes = ("joint", "frozen")
    published = Convention(heads=True, norms="once", nine=False)
    options: TensorFactorOptions = TensorFactorOptions()

    def __init__(self, trunk: Trunk, regime: Regime | None = None, options: Options | None = None) -> None:
        super().__init__(trunk, regime, options)
        self.bases = Beside(trunk, self._bases)
        self.shared["bases"] = self.bases

    def _bases(self, conv: nn.Conv2d) -> nn.Module:
        count, shape = self.options.columns - 1, conv.weight.shape
        if self.options.form == "tucker":
            return TuckerColumns(shape, count, self.options.rank)
        return Columns(NEAR * torch.randn(shape) for _ in range(count))

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Combine the bases at any convolution; its bias stays."""
        bases = self.bases.of(conv)
        assert bases is not None
        return EditedConv(conv, Combination(bases, torch.randn(self.options.columns - 1)))

    def continues(self, learned: Learned) -> bool:
        """Continue with separate networks, or with bases of the same form."""
        return learned.method in SEPARATE or super().continues(learned)

    @torch.no_grad()
    def prepare(self, learned: Learned | None, domains: Sequence[str]) -> Mapping[str, Mapping[str, Tensor]]:
        """Decompose the weights of separate networks, if that is the trunk's run."""
        if learned is None or learned.method not in SEPARATE:
            return super().prepare(learned, domains)
        missing = [domain for domain in domains if domain not in learned.deltas]
        if missing:
            raise UsageError(f"the run has no network of {missing[0]}. Leave it out, or train it there.")
        starts: dict[str, dict[str, Tensor]] = {domain: dict(learned.deltas[domain]) for domain in domains}
        for path in self.bases.paths():
            weights = torch.stack([delta.pop(f"body.{path}.weight") for delta in starts.values()])
            mean = weights.mean(0)
            conv = cast(nn.Conv2d, self.trunk.get_submodule(path))
            conv.weight.copy_(mean)
            if conv.bias is not None:  # one for all domains
                conv.bias.copy_(torch.stack([delta.pop(f"body.{path}.bias") for delta in starts.values()]).mean(0))
            bases = self.bases.at(path)
            if isinstance(bases, TuckerColumns):
                found = bases.start(weights - mean)
            else:
                found = start(cast(Columns, bases), weights - mean)
            for delta, row in zip(starts.values(), found, strict=True):
                delta[f"body.{path}.edit.coefficients"] = row.clone()
        return starts
