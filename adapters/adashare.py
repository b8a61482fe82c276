"""adashare: every domain chooses the blocks of the trunk that it runs.

Sun, Panda, Feris, Saenko 2020, "AdaShare: learning what to share for efficient deep multi-task learning"
(https://arxiv.org/abs/1911.12423). Every residual block whose input has the shape of its output has two logits
for each domain, run and skip. In the policy phase, the first `policy` of training:

    y = p_0 block(x) + p_1 x          p = softmax((logits + Gumbel noise) / T), T from 5 to 0.5
    L + sparsity . mean over blocks of CE(logits, skip) + sharing . sum over pairs, blocks l of l/L |difference|

with the difference of two domains' run logits; blocks are freed one after the other from the last one over the
first half of the phase, the others run. In the rest of training a block with the larger skip logit is skipped,
in prediction and merged files too, and the remaining weights train on; the paper trains them anew. In evaluation
there is no noise. An image has one domain, so a step draws the policies of its domains alone, and the sharing
term moves these towards the others' present ones. Starts at the trunk exactly. Stored per domain: a byte for
each block, and the norms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.method import Apart, Method, Moment, Options, Regime, option
from decathlon.models.surgery import replace, share
from decathlon.models.trunks.trunk import Trunk

RUN, SKIP = 0, 1
HOT, COLD = 5.0, 0.5  # temperatures at the beginning and the end of the policy phase
START = 0.5  # of both logits, where the block runs
LOGITS = ".logits"  # the suffix of logits in a delta


@dataclass(frozen=True)
class AdashareOptions(Options):
    """The policy phase and its penalties."""

    policy: float = option(0.5, "the fraction of training in which policies are learned", may_differ=True)
    sparsity: float = option(0.01, "the factor of the penalty on blocks that run", may_differ=True)
    sharing: float = option(0.05, "the factor of the penalty on different policies", may_differ=True)
    lr: float = option(0.01, "highest learning rate of the policies, which Adam trains", may_differ=True)

    def __post_init__(self) -> None:
        if not 0 <= self.policy <= 1:
            raise UsageError(f"method 'adashare': policy is {self.policy}, it must be from 0 to 1.")
        for name in ("sparsity", "sharing"):
            if not 0 <= getattr(self, name) <= 1e6:
                raise UsageError(f"method 'adashare': {name} is {getattr(self, name)}, it must be from 0 to 1e6.")
        if not 0 < self.lr <= 1:
            raise UsageError(f"method 'adashare': lr is {self.lr}, it must be a number above 0, at most 1.")


class Gate(nn.Module):
    """In front of the class of a block, it runs or skips the block, or mixes both while its policy is learned.

    `noise` (2,) and `temperature` belong to one step; without noise the block runs unless its skip logit is larger.
    """

    logits: nn.Parameter
    noise: Tensor | None = None
    temperature = HOT

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to the same shape."""
        noise = self.noise if self.training else None
        if noise is None and self.skips():
            return x
        out: Tensor = super().forward(x)
        if noise is None:
            return out
        p = torch.softmax((self.logits + noise) / self.temperature, 0)
        return p[RUN] * out + p[SKIP] * x

    def skips(self) -> bool:
        """Return whether the block is skipped."""
        return bool(self.logits[SKIP] > self.logits[RUN])

    def leave_out(self) -> None:
        """Skip the block."""
        with torch.no_grad():
            self.logits.copy_(torch.tensor([-START, START]))

    def merged(self) -> nn.Module:
        """Return the block alone, or nothing in its place."""
        if self.skips():
            return nn.Identity()
        del self.logits
        self.__class__ = type(self).__mro__[2]
        return self


def _optional(block: nn.Module) -> bool:
    """Return whether a block's input has the shape of its output: in timm those that need no other shortcut."""
    timms = getattr(block, "downsample", block) is None and hasattr(block, "conv2")
    return bool(getattr(block, "plain", False) or timms)


def gate(block: nn.Module) -> nn.Module:
    """Put a gate in front of a block, in place: its parts keep their paths."""
    block.__class__ = type(f"Gated{type(block).__name__}", (Gate, type(block)), {})
    block.logits = nn.Parameter(torch.full((2,), START))
    return block


def gates(network: nn.Module) -> list[Gate]:
    """Return the gates of a network, from the first block to the last."""
    return [part for part in network.modules() if isinstance(part, Gate)]


class Adashare(Method):
    """Gated blocks; norms per domain."""

    group = "masks"
    regimes = ("joint", "frozen")
    coupled = True
    published = Convention(heads=True, norms="once", nine=False)
    options: AdashareOptions = AdashareOptions()

    def __init__(self, trunk: Trunk, regime: Regime | None = None, options: Options | None = None) -> None:
        super().__init__(trunk, regime, options)
        self.freed = 0  # blocks, from the last one, whose policy is learned in this step; 0 after that phase

    def notes(self) -> list[str]:
        """Say where there is nothing to choose."""
        if any(map(_optional, self.trunk.modules())):
            return []
        return [
            f"adashare skips residual blocks that keep the shape of their input, and {self.trunk.name} has none: "
            "it trains as bn does."
        ]

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return one domain's body: (batch, 3, height, width) -> (batch, features)."""
        body = replace(share(trunk), norm=self.norm)
        for block in [part for part in body.modules() if _optional(part)]:
            gate(block)
        return body

    def apart(self, body: nn.Module) -> Apart | None:
        """Train the policies with Adam."""
        logits = tuple(part.logits for part in gates(body))
        return Apart("adam", self.options.lr, logits) if logits else None

    def begin(self, networks: Mapping[str, nn.Module], moment: Moment) -> None:
        """Draw the noise of a step, in the policy phase; let every policy hold after it."""
        learned = moment.progress / self.options.policy if self.options.policy else 1.0
        blocks = len(gates(next(iter(networks.values()))))
        self.freed = freed(blocks, learned)
        for domain, network in networks.items():
            drawn = moment.generator("policy", domain)
            for number, part in enumerate(gates(network)):
                part.noise, part.temperature = None, HOT * (COLD / HOT) ** learned
                if blocks - number <= self.freed:
                    uniform = torch.rand(2, generator=drawn).clamp(1e-10, 1 - 1e-7)
                    part.noise = -torch.log(-torch.log(uniform)).to(part.logits.device)

    def penalty(self, networks: Mapping[str, nn.Module], active: Sequence[str]) -> Tensor | None:
        """Return the penalties on blocks that run and on different policies, while these are learned."""
        if not self.freed or not gates(next(iter(networks.values()))):
            return None
        logits = {
            name: torch.stack([part.logits if name in active else part.logits.detach() for part in gates(network)])
            for name, network in networks.items()
        }
        spare = torch.stack([sparsity(logits[name][-self.freed :]) for name in active]).sum()
        return self.options.sparsity * spare + self.options.sharing * sharing(torch.stack(list(logits.values())))

    def bits(self, name: str, tensor: Tensor) -> int:
        """Count a byte for a block."""
        return 8 if name.endswith(LOGITS) else super().bits(name, tensor)

    def pack(self, delta: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Store whether a block is skipped, as a byte."""
        return {
            name: (tensor[SKIP] > tensor[RUN]).to(torch.uint8)[None] if name.endswith(LOGITS) else tensor
            for name, tensor in delta.items()
        }

    def unpack(self, stored: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn bytes into logits on the same side; the real numbers are not stored."""
        return {
            name: START * torch.stack((1 - 2 * t[0].float(), 2 * t[0].float() - 1))
            if name.endswith(LOGITS) and t.dtype == torch.uint8 and t.shape == (1,) else t
            for name, t in stored.items()
        }  # fmt: skip


def freed(blocks: int, learned: float) -> int:
    """Return how many blocks have a policy that is learned, after a fraction of the policy phase."""
    if learned >= 1:
        return 0
    return min(blocks, 1 + int(blocks * learned / 0.5))


def sparsity(logits: Tensor) -> Tensor:
    """Return the mean over blocks (blocks, 2) of the cross entropy with skipping."""
    return cross_entropy(logits, torch.full((len(logits),), SKIP, device=logits.device))


def sharing(logits: Tensor) -> Tensor:
    """Return the weighted distance of the run logits of all pairs of domains (domains, blocks, 2)."""
    run = logits[:, :, RUN]
    weights = torch.arange(1, run.shape[1] + 1, device=run.device) / run.shape[1]
    pairs = (run[:, None] - run[None]).abs() * weights
    return pairs.sum() / 2  # each pair stands in it twice
