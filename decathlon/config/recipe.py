"""A recipe: how a run trains, knob by knob, and what some domains have of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from decathlon.config.options import override
from decathlon.data.domains import Domain
from decathlon.data.sampling_policy import exponent
from decathlon.errors import UsageError, unknown

# Of timm's optimizers those whose whole state is saved and restored to the bit.
OPTIMIZERS = ("sgd", "momentum", "adam", "adamw", "nadamw", "radam", "rmsprop", "lion", "adan")
RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 1e6), "epoch_batches": (0, 1e9), "batch": (2, 1e6), "size": (8, 4096), "side": (0, 8192),
    "eval_every": (1, 1e6), "lr": (0, 1e6), "momentum": (0, 0.9999), "weight_decay": (0, 1e3),
    "trunk_lr": (0, 1e6), "method_lr": (0, 1e6), "head_lr": (0, 1e6), "warmup": (0, 1), "decay": (0, 1),
    "label_smoothing": (0, 1), "cache_taps": (0, 1e4),
}  # fmt: skip
OWN = ("weight_decay", "lr", "epochs", "crop", "flip")  # what a domain may have of its own


@dataclass(frozen=True)
class Recipe:
    """Every knob of a training run; the command line overrides a file, a file overrides these defaults.

    In `domains`, knobs of OWN hold for one domain instead of those above.
    """

    about: str = ""  # one line for `decathlon recipes`
    epochs: int = 30
    epoch_batches: int = 0  # micro-batches in a virtual epoch (`together`: of each domain); 0: as all images make
    batch: int = 64  # images of one domain
    size: int = 64  # pixels a side of what the network sees
    side: int = 0  # pixels of the image it is cut from; 0: 9/8 of size, as 64 from 72
    crop: Literal["domain", "crop", "squash", "full"] = "domain"  # `domain`: what the domain's facts say
    flip: bool = True  # mirror at random where the domain allows it
    augment: bool = True  # cut and mirror at random; false: the centre, as in prediction
    cache_taps: float = 0.0  # gigabytes for what a frozen trunk makes of images; with augment = false
    optimizer: str = "sgd"  # sgd has Nesterov momentum; an unknown one lists all
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4  # on convolution and head weights, not on norms and biases
    trunk_lr: float = 1.0  # multiples of lr for the groups
    method_lr: float = 1.0
    head_lr: float = 1.0
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup: float = 0.1  # part of all steps with a linearly growing lr
    milestones: tuple[float, ...] = ()  # schedule = "step": parts of all steps after which lr falls
    decay: float = 0.1  # schedule = "step": by this factor
    label_smoothing: float = 0.0
    sampling: str = "proportional"
    together: bool = False  # every domain in every optimiser step
    objective: str = "cross-entropy"  # what a micro-batch is trained on; an unknown one lists all
    weighting: str = "equal"  # how the domains' losses are balanced; an unknown one lists all
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # `auto`: bf16 where the hardware multiplies in it
    compile: bool = False  # torch.compile of the networks without their heads; a minute or so before the first step
    cuda_graphs: bool = False  # with compile: replay a step's launches, for batches too small to fill a GPU
    eval_every: int = 1  # epochs between validations; the last epoch always has one
    domains: dict[str, dict[str, Any]] = field(default_factory=dict)  # knobs of OWN by domain

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:  # false for nan too
                raise UsageError(f"recipe: {name} is {value}, it must be a number from {least:g} to {most:g}.")
        if self.side and self.side < self.size:
            raise UsageError(
                f"recipe: side {self.side} is smaller than size {self.size}; make it at least as large."
            )
        if self.cache_taps and self.augment:
            raise UsageError(
                "recipe: cache_taps needs images that do not change: set augment to false (--no-augment)."
            )
        if self.cuda_graphs and not self.compile:
            raise UsageError("recipe: cuda_graphs replays what was compiled: set compile to true too (--compile).")
        if not all(isinstance(part, int | float) and 0 < part < 1 for part in self.milestones):
            raise UsageError("recipe: milestones are parts of all steps: write numbers between 0 and 1.")
        if self.optimizer not in OPTIMIZERS:
            raise unknown("optimizer", self.optimizer, OPTIMIZERS)
        exponent(self.sampling)
        for name, table in self.domains.items():
            _check_own(self, name, table)

    @property
    def resize(self) -> int:
        """The side in pixels images are resized to when a pool is loaded."""
        return self.side or self.size * 9 // 8

    def for_domain(self, name: str) -> Recipe:
        """Return the recipe of one domain: what it has of its own put in, and no table left."""
        return dataclasses.replace(self, domains={}, **self.domains.get(name, {}))

    def facts(self, domain: Domain) -> Domain:
        """Return a domain with the crop policy and the flip this recipe gives it.

        The recipe's own `flip` can only forbid what a domain's facts allow; a domain's table decides alone.
        """
        crop = self.for_domain(domain.name).crop
        flip = self.domains.get(domain.name, {}).get("flip", self.flip and domain.flip)
        return dataclasses.replace(domain, flip=flip, crop=domain.crop if crop == "domain" else crop)

    def override(self, values: Mapping[str, Any], source: str = "recipe") -> Recipe:
        """Return the recipe with some knobs changed; raises UsageError for an unknown one or a wrong type.

        A changed knob holds for all domains but those that `values` itself gives another.
        """
        try:
            changed = override(self, values, source)
            tables = {
                name: {knob: value for knob, value in table.items() if knob not in values}
                for name, table in self.domains.items()
            }
            for name, table in values.get("domains", {}).items():
                tables[name] = tables.get(name, {}) | table
            return dataclasses.replace(changed, domains={name: table for name, table in tables.items() if table})
        except UsageError as error:
            said = str(error).removeprefix("recipe: ")
            raise UsageError(said if source in said else f"{source}: {said}") from None

    def to_json(self) -> dict[str, Any]:
        """Return all knobs as plain JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


def _check_own(recipe: Recipe, name: str, table: Any) -> None:
    """Raise UsageError for a domain's table that holds what it may not."""
    may = f"recipe: [domains.{name}] may set {', '.join(OWN)}"
    if not isinstance(table, dict):
        raise UsageError(f"{may}: write it as a table.")
    for knob in table:
        if knob not in OWN:
            raise UsageError(f"{may}, but not {knob}: set that for all domains.")
    try:
        override(dataclasses.replace(recipe, domains={}), table, "recipe")
    except UsageError as error:
        raise UsageError(f"{may}: {str(error).removeprefix('recipe: ')}") from None
