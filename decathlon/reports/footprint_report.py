"""Footprints of runs, or of methods without a run, as tables."""

from collections.abc import Mapping
from typing import Any

import torch

from decathlon.data.official import OFFICIAL
from decathlon.models.footprint import PARTS, Footprint
from decathlon.models.method import Regime
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import find_method
from decathlon.models.trunks.registry import build
from decathlon.reports.tables import Column, Row, Table
from decathlon.runs.loading import load
from decathlon.runs.run_directory import Run

NOTES = (  # explain the terms in the tables
    "Norms 'in' counts all norms, 'once' leaves out a domain's copies of norms that trunk or shared modules hold, "
    "'out' leaves out all of them, in the one trunk too, so that a ratio may rise.",
    "Statistics are stored and never billed: at test time they fold into the norms.",
)


def count_method(
    method: str, trunk: str, regime: Regime | None = None, options: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], Footprint]:
    """Count a method over a trunk for the official ten domains; say of what. No weight is allocated."""
    kind = find_method(method)
    chosen = kind.choose(options or {})
    about = {"method": kind.label(chosen), "trunk": kind.trunk_name(trunk, chosen)}
    with torch.device("meta"):
        made = kind(build(about["trunk"], empty=True), regime, chosen)
        model = MultiDomainModel(made, 0, torch.device("meta"))
        for name, domain in OFFICIAL.items():
            model.add(name, domain.classes)
    return about, model.footprint()


def count_run(run: Run) -> tuple[dict[str, Any], Footprint]:
    """Count what a run's files hold; say of what. Raises UsageError for a run that has not finished training."""
    record = run.read_done()
    about = {"method": record.label, "trunk": record.trunk.name, "run": str(run.folder)}
    return about, load(run, record, torch.device("cpu")).model.footprint()


def scope_table(counted: Footprint, about: Mapping[str, Any]) -> Table:
    """Return parameters by owner and by kind, 32 bits each; `about` describes what was counted."""
    bits: dict[str, dict[str, int]] = {}
    for row in counted.rows:
        bits.setdefault(row.scope, {})[row.part] = row.bits
    rows: list[Row] = [(scope, *(parts.get(part, 0) // 32 for part in PARTS)) for scope, parts in bits.items()]
    columns = Column("scope", "32-bit numbers"), *(Column(part, part, 0) for part in PARTS)
    unused = "" if counted.trunk_used else " (the trunk is not billed: no domain reads it)"
    of = f"{about['method']} over {about['trunk']}" + (f", {about['run']}" if "run" in about else "")
    return Table(f"What is stored: {of}{unused}", columns, tuple(rows))


def ratio_table(counted: Footprint) -> Table:
    """Return the ratio under every convention, with marks on the default and the paper's own."""
    marks = {counted.default: "default"}
    marks[counted.published] = f"{marks.get(counted.published, '')} as its paper counts".strip()
    rows = tuple((str(c), counted.ratio(c), marks.get(c, "")) for c in counted.conventions())
    columns = Column("convention", "counted"), Column("ratio", "x one trunk", 3), Column("mark", "")
    return Table("All bits over those of one trunk without a head", columns, tuple(rows))
