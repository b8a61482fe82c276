"""Everything the project writes, read again and compared with its own checksums, one row for each file.

Packed files are checked where they are made: `decathlon.data_prep.check`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decathlon.errors import DataError, DecathlonError, UsageError
from decathlon.files import parse_json, sha256
from decathlon.group import SEEDS, find_group
from decathlon.results import protocol_path
from decathlon.run import Run
from decathlon.score import Score
from decathlon.sealed import FILES, is_sealed, read_sealed

OK, UNSEALED = "ok", "ok, but without a checksum"
KINDS = (
    "a packed file, a run directory, a group of runs, trunk or domain weights, a merged network (.safetensors), "
    "a results file, a score.json or a saved baseline"
)


@dataclass(frozen=True)
class Checked:
    """One file that was read from end to end; `wrong` is a sentence, None where nothing is."""

    path: Path
    what: str
    wrong: str | None = None
    note: str = OK


def verify(path: Path) -> list[Checked]:
    """Check a run directory, a group of runs, or one file of theirs.

    Raises UsageError for something else, and for what is not there.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist: name {KINDS}.")
    if path.is_dir():
        return list(_folder(path))
    kind = _kind(path)
    if kind is None:
        raise UsageError(f"{path} is nothing that can be verified: name {KINDS}.")
    return [_checked(path, *kind)]


def _folder(folder: Path) -> Iterator[Checked]:
    if (folder / SEEDS).exists():
        seeds = _checked(folder / SEEDS, "seeds of a group", lambda path: _sealed(path, find_group(folder)))
        yield seeds
        group = None if seeds.wrong else find_group(folder)
        for run in group.runs.values() if group else ():
            if run.is_dir():
                yield from _run(Run(run))
    elif (folder / "run.json").exists():
        yield from _run(Run(folder))
    else:
        raise UsageError(f"{folder} is nothing that can be verified: name {KINDS}.")


def _run(run: Run) -> Iterator[Checked]:
    """Check the files of a run, those that training left against the SHA-256 in run.json."""
    asked = _checked(run.folder / "run.json", "request", lambda path: _sealed(path, run.read()))
    yield asked
    if asked.wrong:
        return
    told = read_sealed(asked.path, "train again")
    digests: dict[str, str] = told.get(FILES, {})
    names = [entry["name"] for entry in told["domains"]] if told["status"] == "done" else []
    wanted = {str(run.domain(name).relative_to(run.folder)) for name in names} | digests.keys()
    if told["status"] == "done" and told["regime"] != "private":
        wanted.add(run.trunk.name)
    found = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    for name in sorted(wanted | found):
        path = run.folder / name
        kind = _kind(path) if path.exists() else None
        if name in wanted and not path.exists():
            yield Checked(path, "file of the run", f"{path} is missing: copy it back or train again.")
        elif name in digests and sha256(path) != digests[name]:
            what = kind[0] if kind else "file of the run"
            yield Checked(path, what, f"{path} is not what training wrote: copy it again or train again.")
        elif kind is not None and path != asked.path:
            yield _checked(path, *kind, listed=name in digests)
    yield _checked(run.folder, "trunk and domains together", lambda _: _fits(run))


def _fits(run: Run) -> None:
    """Raise VerificationError where the files of a run do not belong together."""
    if not run.trunk.exists() and run.read()["status"] != "done":
        return
    import torch

    from decathlon.trunk_source import load_family

    load_family(run, torch.device("cpu"))
    results, score = run.folder / "results.json", run.folder / "score.json"
    told = Score.read(score).protocol if score.exists() else None
    if told and results.exists() and told.get("results_sha256", digest := sha256(results)) != digest:
        raise DataError(f"{score} was made from other results: run 'decathlon score {run.folder}' again.")


def _checked(path: Path, what: str, read: Callable[[Path], Any], listed: bool = False) -> Checked:
    """Read one file; `read` returns whether it has a checksum, and `listed` says that run.json has one."""
    try:
        whole = read(path)
    except DecathlonError as error:
        return Checked(path, what, str(error).splitlines()[0])
    return Checked(path, what, None, OK if listed or whole is not False else UNSEALED)


def _sealed(path: Path, _read: object) -> bool:
    return is_sealed(path)


def _kind(path: Path) -> tuple[str, Callable[[Path], Any]] | None:
    """Return what a file is, by its name and what it holds, and what reads it; None for a stranger."""
    if path.name in _BY_NAME:
        return _BY_NAME[path.name]
    if path.suffix in (".safetensors", ".ckpt"):
        return _TENSORS.get(path.stem) or ("weights", _weights)
    return _json_kind(path) if path.suffix == ".json" else None


def _json_kind(path: Path) -> tuple[str, Callable[[Path], Any]] | None:
    if path.name.endswith(".protocol.json"):
        return "protocol of results", _protocol
    if protocol_path(path).exists():
        return "results", _results
    try:
        data = parse_json(path.read_bytes(), str(path))
    except DataError:
        return "JSON", _unread
    if isinstance(data, dict):
        known = {"baseline_errors": ("baseline", _baseline), "domains": ("score", _score)}
        return next((kind for key, kind in known.items() if key in data), None)
    return ("results", _results) if isinstance(data, list) else None
