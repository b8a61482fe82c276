"""The contract of a method: how one domain's network differs from the shared trunk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from decathlon.config.options import override
from decathlon.errors import UsageError
from decathlon.models.footprint import Convention
from decathlon.models.layers import FrozenNorm
from decathlon.models.surgery import own_norm, replace, share
from decathlon.models.trunks.trunk import Trunk
from decathlon.system.seeding import generator

Group = Literal["baselines", "adapters", "masks", "sharing"]
Regime = Literal["joint", "frozen", "private"]
TRUNKS = {
    "joint": "trained with all domains (--no-freeze)", "frozen": "frozen (--freeze)", "private": "one per domain",
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Options of a method, set by `--set name=value` on the command line; none by default."""


def option(default: Any, about: str, may_differ: bool = False) -> Any:
    """Declare an option with its default and one line for `decathlon methods NAME`.

    `may_differ` says that a run may continue another one of its method that has another value.
    """
    return field(default=default, metadata={"about": about, "may_differ": may_differ})


@dataclass(frozen=True)
class Apart:
    """Parameters of one network that have their own optimizer (by timm's name), without weight decay.

    Their learning rate follows the schedule of the recipe, with `lr` as its highest value.
    """

    optimizer: str
    lr: float
    parameters: tuple[nn.Parameter, ...]


@dataclass(frozen=True)
class Moment:
    """Where in its training a run is: the optimizer step, counted from 0, of all steps, and the run's seed."""

    step: int
    steps: int
    seed: int

    @property
    def progress(self) -> float:
        """The fraction of training that is done: 0 at the first step."""
        return self.step / self.steps

    def generator(self, *parts: str) -> torch.Generator:
        """Return a generator for what is drawn in this step."""
        return generator(self.seed, *parts, self.step)


@dataclass(frozen=True)
class Learned:
    """The result of a run over the same trunk: its method with options, what its domains share, and their deltas.

    The names in a delta are those of `MultiDomainModel.learned`: the same whether norms were frozen or not.
    """

    method: str
    deltas: Mapping[str, Mapping[str, Tensor]]
    options: Mapping[str, Any] = field(default_factory=dict)
    shared: Mapping[str, Tensor] = field(default_factory=dict)


class Method:
    """Base of all methods; a subclass overrides the finest hook that can express it.

    `group` is the heading of `decathlon methods` that the method stands under. `regimes` lists how the trunk may
    be used, the default first: `joint` (learns from all domains), `frozen` (unchanged, shared) or `private` (one
    trunk per domain). `published` is the counting convention of the method's own paper. `options` holds the
    options with their defaults. `inside` marks a method whose trunk should itself have been trained with it,
    `fresh` one that takes the structure of a trunk alone, `coupled` one whose domains train together though each
    has a trunk of its own, `sequential` one that needs the domains one after the other. `shared` holds modules
    that all domains use beside the trunk: trained, stored and billed once.

    Three hooks act in training, where modules alone cannot express a method: `begin` before the forward passes of a
    step, `penalty` after the domains' backward passes, `end` after the update. What they change is kept in
    parameters and buffers of `shared` or of the networks, or in the tensors of `state`, all of which every
    checkpoint holds; what they draw is a function of the moment.

    A module that can be replaced by a plainer one, a convolution by one without adapter, offers
    `merged() -> nn.Module`, equal to it in evaluation mode; one that a domain may do without offers `leave_out()`.
    """

    group: ClassVar[Group] = "adapters"
    regimes: ClassVar[tuple[Regime, ...]] = ("frozen", "joint")
    published: ClassVar[Convention] = Convention(heads=False, norms="out", nine=True)
    inside: ClassVar[bool] = False
    fresh: ClassVar[bool] = False
    coupled: ClassVar[bool] = False
    sequential: ClassVar[bool] = False
    options: Options = Options()

    def __init__(self, trunk: Trunk, regime: Regime | None = None, options: Options | None = None) -> None:
        self.regime: Regime = self.regimes[0] if regime is None else regime
        if self.regime not in self.regimes:
            ways = " or ".join(TRUNKS[known] for known in self.regimes)
            trunk_kind = TRUNKS[self.regime]
            raise UsageError(f"method '{self.name()}' cannot have a trunk {trunk_kind}. Its trunk is {ways}.")
        self.options = options or self.options
        trunk.requires_grad_(self.regime == "joint")
        self.trunk = trunk
        self.shared = nn.ModuleDict()

    @classmethod
    def name(cls) -> str:
        """The method's name on the command line: its file's name."""
        return cls.__module__.rpartition(".")[2].replace("_", "-")

    @property
    def takes_norms(self) -> bool:
        """Whether a domain starts from the norms that the trunk's run trained for it."""
        return True

    @property
    def mixed(self) -> bool:
        """Whether the images of all domains go through the trunk in one batch, whose statistics its norms take."""
        return False

    @classmethod
    def choose(cls, values: Mapping[str, Any]) -> Options:
        """Return the options with some values changed; raises UsageError for a wrong name or value."""
        return override(cls.options, values, f"method '{cls.name()}'")

    @classmethod
    def label(cls, options: Options) -> str:
        """Return the name, followed by the options that differ from their defaults."""
        changed = {name: value for name, value in vars(options).items() if value != getattr(cls.options, name)}
        return " ".join([cls.name(), *(f"{name}={str(value).lower()}" for name, value in changed.items())])

    @classmethod
    def trunk_name(cls, name: str, options: Options) -> str:
        """Return the name of the trunk to use when the user gave `name`."""
        return name

    @classmethod
    def unit_name(cls, name: str, options: Options) -> str:
        """Return the name of the trunk that ratios are counted in: the one the user gave."""
        return name

    def continues(self, learned: Learned) -> bool:
        """Return whether the method continues with what a run learned; default: a run of its own kind."""
        fixed = [each.name for each in fields(self.options) if not each.metadata["may_differ"]]
        same = all(learned.options.get(name) == getattr(self.options, name) for name in fixed)
        return learned.method == self.name() and same

    def prepare(self, learned: Learned | None, domains: Sequence[str]) -> Mapping[str, Mapping[str, Tensor]]:
        """Take what the trunk's run learned, if there is one, before the networks of `domains` are built.

        Returns, by domain, tensors of its delta to start from; default: all of it, and what domains share is taken
        over too, where the method continues that run. Raises UsageError where the method needs another kind of
        run.
        """
        if learned is None or not self.continues(learned):
            return {}
        self.shared.load_state_dict(dict(learned.shared))
        return {domain: learned.deltas[domain] for domain in domains if domain in learned.deltas}

    def notes(self) -> list[str]:
        """Return what a user should know before training begins; default: nothing."""
        return []

    def conv(self, conv: nn.Conv2d) -> nn.Module:
        """Return the module that replaces one convolution; default: the convolution itself."""
        return conv

    def norm(self, norm: nn.BatchNorm2d) -> nn.Module:
        """Return the domain's normalisation; default: a trainable copy with its own statistics."""
        return own_norm(norm)

    def apart(self, body: nn.Module) -> Apart | None:
        """Return the parameters of a domain's body that need another optimizer; default: none."""
        return None

    def bits(self, name: str, tensor: Tensor) -> int:
        """Return the bits a parameter takes when stored; default: 32 per number."""
        return 32 * tensor.numel()

    def pack(self, delta: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a domain's delta as it is stored; default: unchanged."""
        return dict(delta)

    def unpack(self, stored: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the delta that was packed to `stored`; `like` has its names and shapes."""
        return dict(stored)

    def begin(self, networks: Mapping[str, nn.Module], moment: Moment) -> None:
        """Prepare the networks of the domains that are active in a step, by domain; default: nothing."""

    def penalty(self, networks: Mapping[str, nn.Module], active: Sequence[str]) -> Tensor | None:
        """Return a term of the loss, a scalar, over the networks of all domains that train together.

        Its gradient must reach the `active` ones and what domains share alone. Default: none.
        """
        return None

    def end(self, networks: Mapping[str, nn.Module], rate: float) -> None:
        """Change the networks of the domains that were active after an update at a learning rate; default: not."""

    def relation(self, networks: Mapping[str, nn.Module]) -> Tensor | None:
        """Return the covariance of the domains (domains, domains) that the method learned; default: none."""
        return None

    def state(self) -> Mapping[str, Tensor]:
        """Return the tensors that training needs beside the networks, with the same names at every step."""
        return {}

    def network(self, trunk: Trunk, domain: str) -> nn.Module:
        """Return one domain's body, (batch, 3, height, width) -> (batch, features).

        A body whose features are not as many as the trunk's says so in its attribute `features`.
        `trunk` is the shared trunk, or a copy that shares its convolutions and starts from the domain's norms.
        """
        return replace(share(trunk), self.conv, self.norm)


@dataclass(frozen=True)
class ReaderOptions(Options):
    """The norms of the trunk."""

    norms: Literal["domain", "trunk"] = option(
        "domain", "each domain's own, or one set for all, so one pass serves all; a trunk that learns then takes "
        "its statistics from batches of all domains", may_differ=True,
    )  # fmt: skip


class Reader(Method):
    """A method over taps; a frozen trunk needs no gradient, because all norms stay in evaluation mode.

    With `norms=trunk` a trunk that learns has one set of norms too. Their statistics are those of one batch of all
    domains, as in Universal Representations (Li et al. 2022): statistics of one domain at a time would fit the one
    trained last.
    """

    options: ReaderOptions = ReaderOptions()

    @property
    def takes_norms(self) -> bool:
        """Whether a domain starts from the norms that the trunk's run trained for it."""
        return self.options.norms == "domain"

    @property
    def mixed(self) -> bool:
        """Whether the images of all domains go through the trunk in one batch."""
        return self.regime == "joint" and self.options.norms == "trunk"

    def norm(self, norm: nn.BatchNorm2d) -> nn.Module:
        """Keep a frozen trunk's norm in evaluation mode; otherwise give the domain its own, or the trunk's."""
        if self.regime == "frozen":
            return FrozenNorm(norm)
        return norm if self.mixed else own_norm(norm)
