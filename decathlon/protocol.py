"""A protocol, what is known of how results were made, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decathlon.system.text import several


def protocol_text(protocol: Mapping[str, Any]) -> str | None:
    """Say in a few words what rows must share to be compared."""
    units = {
        "fit": "{}",
        "epochs": "{}",
        "changed": "{} changed",
        "size": "{} px",
        "trunk": "{}",
        "trained": "after ({})",
        "own": "own {}",
        "seeds": "seeds {}",
    }
    told = {name: value for name, value in protocol.items() if value is not None}
    if "epochs" in told:
        changed = f" ({told.pop('changed')} changed)" if "changed" in told else ""
        told["epochs"] = several(told["epochs"], "epoch") + changed
    said = [unit.format(told[name]) for name, unit in units.items() if name in told]
    return ", ".join(said) or None
