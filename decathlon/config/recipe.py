"""A recipe: the options of a training run, and those that some domains set for themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from decathlon.config.options import override
from decathlon.data.domains import Domain
from decathlon.data.sampling_policy import exponent
from decathlon.errors import UsageError, unknown

# Muon, and the optimizers of timm whose whole state is saved and restored to the bit.
OPTIMIZERS = (
    "sgd", "momentum", "adam", "adamw", "nadamw", "radam", "rmsprop", "lion", "adan", "adopt", "laprop",
    "mars", "muon",
)  # fmt: skip
RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 1e6), "epoch_batches": (0, 1e9), "batch": (2, 1e6), "size": (8, 4096), "side": (0, 8192),
    "eval_size": (0, 8192), "eval_every": (1, 1e6), "lr": (0, 1e6), "momentum": (0, 0.9999),
    "weight_decay": (0, 1e3),
    "trunk_lr": (0, 1e6), "method_lr": (0, 1e6), "head_lr": (0, 1e6), "depth_lr": (1e-6, 1e6),
    "aux_lr": (0, 1e6), "aux_weight_decay": (0, 1e3), "warmup": (0, 1), "decay": (0, 1),
    "label_smoothing": (0, 1), "cache_taps": (0, 1e4), "pad": (0, 512), "color": (0, 1), "magnitude": (0, 30),
    "cutout": (0, 1), "mixup": (0, 100), "cutmix": (0, 100), "size_from": (0, 4096), "size_by": (0, 1),
    "ema_decay": (0, 0.999999), "average_from": (0, 1),
}  # fmt: skip
# options that a domain may set for itself
OWN = (
    "weight_decay", "aux_weight_decay", "lr", "epochs", "size", "side", "eval_size", "crop", "flip", "augment",
    "pad", "color", "policy", "magnitude", "cutout", "mixup", "cutmix",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Every option of a training run; the command line overrides a file, a file overrides these defaults.

    In `domains`, the options of OWN hold for one domain instead of the values above.
    """

    about: str = ""  # one line for `decathlon recipes`
    epochs: int = 30
    epoch_batches: int = 0  # micro-batches per virtual epoch (`together`: per domain); 0: one pass over all images
    batch: int = 64  # images of one domain
    size: int = 64  # side in pixels of the images the network sees
    side: int = 0  # side in pixels of the images they are cut from; 0: 9/8 of size, as 72 for 64
    eval_size: int = 0  # side in pixels of the images in validation and prediction; 0: as size
    crop: Literal["domain", "crop", "squash", "full"] = "domain"  # `domain`: what the domain's facts say
    flip: bool = True  # flip at random where the domain allows it
    augment: bool = True  # random crop, flip and all below; false: the centre, as in prediction
    pad: int = 0  # pixels of the mean colour around the images that crops are cut from
    color: float = 0.0  # strength of random brightness, contrast and saturation
    policy: Literal["none", "randaugment", "trivialaugment"] = "none"  # the latter where a domain allows flips
    magnitude: int = 9  # of policy = "randaugment"
    cutout: float = 0.0  # side of a square set to the mean colour, as a fraction of size
    mixup: float = 0.0  # alpha of mixup; with cutmix too, one of both is drawn for each micro-batch
    cutmix: float = 0.0  # alpha of cutmix
    size_from: int = 0  # side in pixels of the training images in the first epoch; 0: size from the beginning
    size_by: float = 0.5  # size_from: the fraction of the epochs after which the images have their size
    cache_taps: float = 0.0  # gigabytes for cached taps of a frozen trunk; needs augment = false
    optimizer: str = "sgd"  # sgd has Nesterov momentum; an unknown one lists all
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4  # on convolution and head weights
    decay_norms: bool = False  # weight_decay on norms and biases too
    aux_optimizer: str = ""  # of norms, biases and heads; "": adamw beside muon, the same one beside others
    aux_lr: float = 1.0  # its learning rate, as a multiple of lr
    aux_weight_decay: float = 0.0  # its weight decay, on head weights (decay_norms: on norms and biases too)
    trunk_lr: float = 1.0  # learning rates of trunk, method and heads, as multiples of lr
    method_lr: float = 1.0
    head_lr: float = 1.0
    depth_lr: float = 1.0  # the rate of a trunk's first quarter, as a multiple of its last one's; geometric between
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup: float = 0.1  # fraction of all steps in which lr grows linearly
    milestones: tuple[float, ...] = ()  # schedule = "step": fractions of all steps after which lr falls
    decay: float = 0.1  # schedule = "step": the factor it falls by
    label_smoothing: float = 0.0
    heads: Literal["fresh", "kept"] = "fresh"  # over a run: new heads, or those of that run
    average: Literal["none", "ema", "tail"] = "none"  # weights kept: averages over steps, or over the last epochs
    ema_decay: float = 0.998  # average = "ema": the decay of each step
    average_from: float = 0.75  # average = "tail": the fraction of the epochs after which averaging begins
    sampling: str = "proportional"
    together: bool = False  # one micro-batch of every domain in every optimizer step
    objective: str = "cross-entropy"  # what a micro-batch is trained on; an unknown one lists all
    auxiliaries: str = ""  # losses beside it, dropped after training, with weights, as rotation=0.5,reconstruct
    teacher: str = ""  # a finished run, for auxiliary objective hint
    weighting: str = "equal"  # how the domains' losses are balanced; an unknown one lists all
    affinity: bool = False  # record how alike the domains' gradients of the trunk are, for `decathlon affinity`
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # `auto`: bf16 where the hardware supports it
    compile: bool = False  # torch.compile of the networks without heads; takes a minute or so before the first step
    cuda_graphs: bool = False  # needs compile: replay a step's launches, for batches too small to fill a GPU
    eval_every: int = 1  # epochs between validations; the last epoch is always validated
    keep: Literal["last", "best"] = "last"  # the weights kept: of the last epoch, or of the best in validation
    domains: dict[str, dict[str, Any]] = field(default_factory=dict)  # options of OWN by domain

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:  # false for nan too
                raise UsageError(f"recipe: {name} is {value}, it must be a number from {least:g} to {most:g}.")
        if 0 < self.eval_size < 8:
            raise UsageError(f"recipe: eval_size is {self.eval_size}, it must be 0 or at least 8.")
        for name, cut in (("size", self.size), ("eval_size", self.eval_size)):
            if self.resize < cut:
                raise UsageError(
                    f"recipe: side {self.resize} is smaller than {name} {cut}. Make it at least as large."
                )
        if self.cache_taps and self.augment:
            raise UsageError(
                "recipe: cache_taps needs images that do not change. Set augment to false (--no-augment)."
            )
        if self.size_from and not 8 <= self.size_from <= self.size:
            raise UsageError(f"recipe: size_from is {self.size_from}, it must be 0 or from 8 to size {self.size}.")
        if self.cuda_graphs and not self.compile:
            raise UsageError("recipe: cuda_graphs replays compiled networks. Set compile to true too (--compile).")
        if not all(isinstance(part, int | float) and 0 < part < 1 for part in self.milestones):
            raise UsageError("recipe: milestones are fractions of all steps. Use numbers between 0 and 1.")
        for optimizer, known in ((self.optimizer, OPTIMIZERS), (self.aux_optimizer, ("", *OPTIMIZERS[:-1]))):
            if optimizer not in known:
                raise unknown("optimizer", optimizer, list(filter(None, known)))
        exponent(self.sampling)
        for name, table in self.domains.items():
            _check_table(self, name, table)

    @property
    def auxiliary(self) -> str:
        """The optimizer of norms, biases and heads where it is another one: Muon takes matrices alone."""
        return self.aux_optimizer or ("adamw" if self.optimizer == "muon" else "")

    @property
    def resize(self) -> int:
        """The side in pixels that images are resized to when a pool is loaded."""
        return self.side or self.size * 9 // 8

    @property
    def eval_cut(self) -> int:
        """The side in pixels of the images in validation and prediction."""
        return self.eval_size or self.size

    def for_domain(self, name: str) -> Recipe:
        """Return the recipe of one domain: its own options put in, and no table left."""
        return dataclasses.replace(self, domains={}, **self.domains.get(name, {}))

    def facts(self, domain: Domain) -> Domain:
        """Return a domain with the crop policy and the flip this recipe gives it.

        `flip` of the recipe can only forbid what a domain's facts allow; `flip` in a domain's table overrides both.
        """
        crop = self.for_domain(domain.name).crop
        flip = self.domains.get(domain.name, {}).get("flip", self.flip and domain.flip)
        return dataclasses.replace(domain, flip=flip, crop=domain.crop if crop == "domain" else crop)

    def override(self, values: Mapping[str, Any], source: str = "recipe") -> Recipe:
        """Return the recipe with some options changed; raises UsageError for an unknown one or a wrong type.

        A changed option holds for all domains except those for which `values` itself sets another value. A changed
        `size` takes `side` and `eval_size` back to their defaults where `values` does not set them too.
        """
        try:
            if "size" in values:
                values = {"side": 0, "eval_size": 0} | dict(values)
            changed = override(self, values, source)
            tables = dict[str, dict[str, Any]]()
            for name, table in self.domains.items():
                tables[name] = {option: value for option, value in table.items() if option not in values}
            for name, table in values.get("domains", {}).items():
                tables[name] = tables.get(name, {}) | table
            return dataclasses.replace(changed, domains={name: table for name, table in tables.items() if table})
        except UsageError as error:
            message = str(error).removeprefix("recipe: ")
            raise UsageError(message if source in message else f"{source}: {message}") from None

    def to_json(self) -> dict[str, Any]:
        """Return all options as plain JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


def _check_table(recipe: Recipe, name: str, table: Any) -> None:
    """Raise UsageError where a domain's table sets something it may not."""
    may = f"recipe: [domains.{name}] may set {', '.join(OWN)}"
    if not isinstance(table, dict):
        raise UsageError(f"{may}. Write it as a table.")
    for option in table:
        if option not in OWN:
            raise UsageError(f"{may}, but not {option}. Set that for all domains.")
    try:
        override(dataclasses.replace(recipe, domains={}), table, "recipe")
    except UsageError as error:
        raise UsageError(f"{may}: {str(error).removeprefix('recipe: ')}") from None
