"""Where a run's trunk comes from: a name with random weights, or another run with what it learned."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from decathlon.errors import UsageError
from decathlon.models.method import Learned, Method
from decathlon.models.multi_domain_model import Norms, norms_of
from decathlon.models.surgery import named_norms
from decathlon.models.trunks.registry import build
from decathlon.models.trunks.trunk import Trunk
from decathlon.runs.loading import load
from decathlon.runs.record import RunRecord
from decathlon.runs.run_directory import Run
from decathlon.system.seeding import seeded
from decathlon.system.text import several


@dataclass(frozen=True)
class TrunkSource:
    """A trunk, the run it came from ("" for none), and what that run's domains left: their norms, and all.

    `plain` says that those norms belong to the trunk as it is, not to adapters that stand in it.
    """

    trunk: Trunk
    source: str = ""
    record: RunRecord | None = None  # of that run
    norms: dict[str, Norms] = field(default_factory=dict)
    learned: Learned | None = None
    plain: bool = True

    def inside(self, method: Method) -> bool:
        """Say whether the trunk was trained with the adapters of a method that wants this."""
        return method.inside and self.continued(method)

    def continued(self, method: Method) -> bool:
        """Say whether a method continues with what the trunk's run learned of its domains."""
        return self.learned is not None and method.continues(self.learned)

    @property
    def trained(self) -> str:
        """Say how the trunk was trained, as `series, 9 epochs; before that bn, 30 epochs`; "" for a new one."""
        if self.record is None:
            return ""
        own = f"{self.record.label}, {several(self.record.recipe.epochs, 'epoch')}"
        before = self.record.trunk.trained
        return f"{own}; before that {before}" if before else own

    def norms_for(self, method: Method, domains: Iterable[str]) -> dict[str, Norms]:
        """Return, by domain, the norms it starts from where they are not the trunk's own.

        Norms that were learned beside adapters are wrong without them: only a method that continues its own kind
        gets them. A domain that the run never saw starts from the mean over those it saw. The trunk's own
        norms are that mean already, but the norms of adapters inside the trunk stand nowhere else.
        """
        if not method.takes_norms or not (self.plain or self.continued(method)):
            return {}
        known = list(self.norms.values())
        inside = bool(known) and known[0].keys() != dict(named_norms(self.trunk)).keys()
        given = {domain: self.norms.get(domain) or (_mean(known) if inside else {}) for domain in domains}
        return {domain: norms for domain, norms in given.items() if norms}


def _mean(known: list[Norms]) -> Norms:
    return {
        place: {key: torch.stack([norms[place][key].double() for norms in known]).mean(0) for key in norm}
        for place, norm in known[0].items()
    }


def find_trunk(name: str, seed: int) -> TrunkSource:
    """Return the trunk of a run directory, or a new one by its name with weights drawn from `seed`."""
    if Path(name).is_dir():
        return _from_run(Run(Path(name)), seed)
    if "/" in name and not name.startswith("timm:"):
        raise UsageError(
            f"{name} is not a run directory. Check the path, or name a trunk (see 'decathlon trunks')."
        )
    with seeded(seed, "trunk"):
        return TrunkSource(build(name))


def _from_run(run: Run, seed: int) -> TrunkSource:
    record = run.read_done()
    model = load(run, record, torch.device("cpu")).model
    norms: dict[str, Norms] = {
        domain: norms_of(network) for domain, network in model.networks.items() if model.owns_norms(domain)
    }
    deltas = {domain: model.learned(domain) for domain in model.networks}
    learned = Learned(record.method, deltas, record.options, model.shared.state_dict())
    with seeded(seed, "trunk"):
        trunk = build(record.trunk.name, empty=True)  # a new one: a method may have changed how its own norms move
    if record.regime != "private":  # there every domain has a whole one of its own; this is their structure
        trunk.load_state_dict(model.trunk.state_dict())
    return TrunkSource(trunk, str(run.folder), record, norms, learned, all(map(model.plain, model.networks)))
