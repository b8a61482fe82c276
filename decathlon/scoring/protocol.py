"""The protocol of results: how they were made, kept in a sidecar file and summarised in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decathlon.errors import VerificationError
from decathlon.system.checksums import read_sealed
from decathlon.system.schema import check
from decathlon.system.text import several

RESTORE = "Restore a copy or make both again with 'decathlon predict RUN --data FILE.h5 --force'"


def protocol_text(protocol: Mapping[str, Any]) -> str | None:
    """Summarise what rows must share to be comparable; None when nothing is known."""
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
    known = {name: value for name, value in protocol.items() if value is not None}
    if "epochs" in known:
        changed = f" ({known.pop('changed')} changed)" if "changed" in known else ""
        known["epochs"] = several(known["epochs"], "epoch") + changed
    return ", ".join(unit.format(known[name]) for name, unit in units.items() if name in known) or None


def protocol_path(path: Path) -> Path:
    """Return the path of the sidecar of the results file `path`."""
    return path.with_name(f"{path.stem}.protocol.json")


def read_protocol(path: Path, digest: str) -> Mapping[str, Any] | None:
    """Read the sidecar of the results file `path` with this SHA-256; return None when there is no sidecar."""
    sidecar = protocol_path(path)
    if not sidecar.exists():
        return None
    protocol: dict[str, Any] = read_sealed(sidecar, RESTORE)
    check(protocol, dict, str(sidecar), RESTORE)
    if protocol.get("results_sha256", digest) != digest:
        raise VerificationError(
            f"{sidecar} belongs to other results than {path} (their SHA-256 differ). {RESTORE}, or remove "
            f"{sidecar.name} to score without a protocol."
        )
    return protocol
