"""A protocol, what is known of how results were made, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decathlon.errors import VerificationError
from decathlon.system.checksums import read_sealed
from decathlon.system.schema import check
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


RESTORE = "put back a copy or make both again with 'decathlon predict RUN --data FILE.h5 --force'"


def protocol_path(path: Path) -> Path:
    """Return where the sidecar of the results file `path` stands."""
    return path.with_name(f"{path.stem}.protocol.json")


def read_protocol(path: Path, digest: str) -> Mapping[str, Any] | None:
    sidecar = protocol_path(path)
    if not sidecar.exists():
        return None
    protocol: dict[str, Any] = read_sealed(sidecar, RESTORE)
    check(protocol, dict, str(sidecar), RESTORE)
    if protocol.get("results_sha256", digest) != digest:
        raise VerificationError(
            f"{sidecar} speaks of other results than {path} (their SHA-256 differ): {RESTORE}, or remove "
            f"{sidecar.name} to score without a protocol."
        )
    return protocol
