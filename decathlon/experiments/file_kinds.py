"""Which kinds of file the project writes, by name and content, and how each is read to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from decathlon.data.ground_truth import SUFFIX as TRUTH
from decathlon.data.ground_truth import read_truth
from decathlon.errors import DataError
from decathlon.inference.network_file import FORMAT, description, load_merged
from decathlon.runs.logs import METRICS, TIMING, read_footprint, read_lines
from decathlon.runs.record import RECORD, read_record
from decathlon.runs.run_directory import DOMAIN, TRUNK
from decathlon.runs.seed_group import SEEDS, find_group
from decathlon.scoring.baseline import SavedBaseline
from decathlon.scoring.results import protocol_path, read_results
from decathlon.scoring.score import Score
from decathlon.scoring.seed_scores import GroupScore
from decathlon.system.checksums import RESTORE, is_sealed
from decathlon.system.files import read_bytes, read_json
from decathlon.system.schema import check
from decathlon.system.tensor_files import read_tensors

KINDS = (
    "a packed file, a run directory, a group of runs, weights or a merged network (.safetensors, .onnx, .pt2), "
    "a results file, a score.json, a saved baseline or ground truth (<domain>_test.json)"
)


@dataclass(frozen=True)
class Kind:
    """What a file is in a few words, and what reads it.

    `read` raises a DecathlonError where the file is not whole, and says whether the file has a checksum.
    """

    what: str
    read: Callable[[Path], bool]


def kind_of(path: Path) -> Kind | None:
    """Return the kind of a file, None when it is none of ours; a damaged one keeps the kind of its name."""
    if path.name in BY_NAME:
        return BY_NAME[path.name]
    if path.suffix == ".safetensors":
        return Kind("checkpoint" if path.stem in ("checkpoint", "checkpoint-1") else "weights", _weights)
    if path.suffix in (".onnx", ".pt2"):
        return Kind("merged network", _graph)
    if path.name.endswith(TRUTH):
        return Kind("ground truth", _truth)
    if path.name.endswith(".protocol.json"):
        return Kind("protocol", _protocol)
    if path.suffix != ".json":
        return None
    if protocol_path(path).exists() or path.stem.startswith("results"):
        return Kind("results", _results)
    return _by_content(path)


def _by_content(path: Path) -> Kind | None:
    try:
        data = read_json(path)
    except DataError:
        return Kind("JSON", lambda path: bool(read_json(path)))  # says itself what is wrong
    if isinstance(data, list):
        return Kind("results", _results)
    keys = data.keys() if isinstance(data, dict) else set()
    if "baseline_errors" in keys:
        return Kind("baseline", _baseline)
    return Kind("score", _score) if keys & {"domains", "score", "mean_accuracy", "points"} else None


def _sealed(path: Path) -> bool:
    return is_sealed(read_bytes(path))


def _record(path: Path) -> bool:
    read_record(path)
    return _sealed(path)


def _seeds(path: Path) -> bool:
    find_group(path.parent)
    return _sealed(path)


def _score(path: Path) -> bool:
    data = read_json(path)
    if isinstance(data, dict) and "runs" in data and "seeds" in data:
        GroupScore.read(path)
    else:
        Score.read(path)
    return _sealed(path)


def _baseline(path: Path) -> bool:
    SavedBaseline.read(path)
    return _sealed(path)


def _results(path: Path) -> bool:
    read_results(path)
    return protocol_path(path).exists()


def _protocol(path: Path) -> bool:
    """Read the results that a protocol speaks of: that checks both."""
    results = path.with_name(path.name.removesuffix(".protocol.json") + ".json")
    if not results.exists():
        raise DataError(f"{path} stands alone, {results.name} is missing: predict again.")
    read_results(results)
    return _sealed(path)


def _weights(path: Path) -> bool:
    about = read_tensors(path)[1]
    if about.get("format") == FORMAT:
        load_merged(path)
    elif path.parent.name == "domains":
        check(about, DOMAIN, f"the metadata of {path}", RESTORE)
    elif path.name == "trunk.safetensors":
        check(about, TRUNK, f"the metadata of {path}", RESTORE)
    return True


def _graph(path: Path) -> bool:
    description(path)
    return path.suffix == ".pt2"  # a zip, which has checksums; ONNX has none


def _truth(path: Path) -> bool:
    read_truth(path)
    return is_sealed(read_bytes(path))


def _metrics(path: Path) -> bool:
    read_lines(path, METRICS)
    return False


def _timing(path: Path) -> bool:
    read_lines(path, TIMING)
    return all(is_sealed(line) for line in path.read_bytes().splitlines())


def _footprint(path: Path) -> bool:
    read_footprint(path)
    return False


BY_NAME = {
    RECORD: Kind("record", _record),
    SEEDS: Kind("seeds of a group", _seeds),
    "score.json": Kind("score", _score),
    "metrics.jsonl": Kind("metrics", _metrics),
    "timing.jsonl": Kind("timing", _timing),
    "footprint.json": Kind("footprint", _footprint),
}
