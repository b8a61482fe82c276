"""The request for a training run, and for every run of a group."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from decathlon.config.recipe import Recipe
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DataError
from decathlon.models.method import Regime
from decathlon.runs.record import Fit
from decathlon.runs.seed_group import SEEDS, Group, find_group
from decathlon.system.device import find_device


@dataclass(frozen=True)
class Request:
    """A training run as a user requests it: the packed file `data`, the new folder `out`, method, trunk and recipe.

    `trunk` is a name such as `wrn-28-4` or a run directory; `domains` empty means all, `regime` None the method's
    default. `fit` says which splits are trained on, `device` is cpu, cuda or cuda:N. Paths may be strings.
    """

    data: Path
    out: Path
    method: str
    trunk: str
    recipe: Recipe
    domains: tuple[str, ...] = ()
    regime: Regime | None = None
    fit: Fit = "train"
    seed: int = 0
    device: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of the method, where they differ from its defaults

    def __post_init__(self) -> None:
        for name, value in (("data", Path(self.data)), ("out", Path(self.out)), ("trunk", str(self.trunk))):
            object.__setattr__(self, name, value)


def member_request(group: Group, seed: int) -> Request:
    """Return the request of one seed's run, over the trunk of the same seed where that comes from a group."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in group.request.items()
    }
    try:
        del fields["digest"], fields["threads"]
        recipe, data = Recipe().override(fields.pop("recipe")), Path(fields.pop("data"))
        request = Request(data=data, out=group.runs[seed], recipe=recipe, seed=seed, **fields)
    except (AttributeError, KeyError, TypeError):
        raise DataError(f"{group.folder / SEEDS} is damaged or from another release. Train again.") from None
    trunks = find_group(Path(request.trunk))
    return request if trunks is None else replace(request, trunk=str(trunks.finished(seed)))


def resolved(request: Request) -> dict[str, Any]:
    """Return a request as plain JSON, resolved: it must mean the same from another folder on another day."""
    trunk = Path(request.trunk)
    with PackedFile(request.data) as packed:
        digest = packed.digest
    fields = {name: value for name, value in vars(request).items() if name not in ("out", "seed")}
    return fields | {
        "data": str(request.data.resolve()),
        "domains": list(request.domains),
        "digest": digest,
        "trunk": str(trunk.resolve()) if trunk.is_dir() else request.trunk,
        "recipe": request.recipe.to_json(),
        "device": str(find_device(request.device)),
        "threads": torch.get_num_threads(),
    }
