"""The contract of a weighting: how the losses, or the gradients, of the domains in a step are balanced.

An optimizer step runs forward and backward for the micro-batch of every active domain, then updates once. A
weighting may act before, between and after these backward passes:

    begin(step)             before the first forward pass: which domains are active
    weigh(domain, loss)     before a domain's backward pass: the loss to run it on
    collect(domain)         after it: what it added to the gradients of what domains share can be taken out here
                            (never called where all domains go backward in one batch, `Method.mixed`)
    finish()                before the update: gradients that were taken out are combined and put back
    validated(errors)       after a validation
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from decathlon.config.recipe import Recipe
from decathlon.data.domains import Domain
from decathlon.system.plugins import Plugins


@dataclass(frozen=True)
class Step:
    """One optimizer step: its number and its epoch, both from 0, and the domains that are active in it."""

    number: int
    epoch: int
    domains: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """What a weighting is made for.

    `domains` are those that train together; `shared` are the parameters that more than one of them trains: those
    of the trunk, where it learns, and of the method's shared modules, from the first layer to the last.
    """

    domains: tuple[Domain, ...]
    shared: tuple[nn.Parameter, ...]
    recipe: Recipe
    seed: int
    device: torch.device


class Weighting:
    """Base of all weightings. One file in `training/weightings/` holds one; its defaults change nothing.

    `reads_shared` says that it reads gradients of what domains share, so that they must train something together;
    `needs_all` that all domains have to be in every step, `takes_out` that `collect` takes gradients out.
    """

    reads_shared: ClassVar[bool] = False
    needs_all: ClassVar[bool] = False
    takes_out: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self.setting, self.shared = setting, setting.shared
        self.domains = tuple(domain.name for domain in setting.domains)

    def begin(self, step: Step) -> None:
        """Prepare for a step."""

    def weigh(self, domain: str, loss: Tensor) -> Tensor:
        """Return the loss, a scalar, to run the domain's backward pass on; default: the loss as it is."""
        return loss

    def collect(self, domain: str) -> None:
        """Look at the gradients after a domain's backward pass, or take them out of `shared`."""

    def finish(self) -> None:
        """Put the gradients of `shared` in place for the update."""

    def validated(self, errors: Mapping[str, float]) -> None:
        """Take the errors in 0..1 of a validation, by domain; domains without a validation split are absent."""

    def describe(self) -> str | None:
        """Return a line for the user at the start of training; default: none."""
        return None

    def weights(self) -> Tensor | None:
        """Return the present weights (domains,) in the order of `domains`, None where there are none to show."""
        return None

    def state(self) -> Mapping[str, Tensor]:
        """Return the tensors to restore the weighting from: every checkpoint holds them. Default: none.

        Their names are the same at every step. In `collect` and `finish`, gradients are changed in place: their
        memory may belong to a CUDA graph.
        """
        return {}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to where `state` was called; default: its tensors take the values."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


WEIGHTINGS: Plugins[Weighting] = Plugins("weighting", "decathlon.training.weightings", Weighting)
