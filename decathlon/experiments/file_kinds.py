"""Which kinds of file the project writes, by name and content, and how each is read to its end."""

from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from decathlon.data.ground_truth import STRIPPED, Split, check_stripped, read_truth, suffix
from decathlon.errors import DataError
from decathlon.inference.network_file import FORMAT, description, load_merged
from decathlon.runs.logs import TIMING, read_footprint, read_lines, read_metrics
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


def _has_checksum(path: Path) -> bool:
    return is_sealed(read_bytes(path))


def _lines_have_checksums(path: Path) -> bool:
    return all(map(is_sealed, read_bytes(path).splitlines()))


@dataclass(frozen=True)
class Kind:
    """A kind of file: `what` it is in a few words, and the reader that raises a DecathlonError for a damaged one.

    `has_checksum` tells whether a file that was read carries one.
    """

    what: str
    read: Callable[[Path], object]
    has_checksum: Callable[[Path], bool] = _has_checksum


def kind_of(path: Path) -> Kind | None:
    """Return the kind of a file, None when it is not one of ours; a damaged file keeps the kind of its name."""
    if path.name in BY_NAME:
        return BY_NAME[path.name]
    if path.suffix == ".safetensors":
        what = "checkpoint" if path.stem in ("checkpoint", "checkpoint-1") else "weights"
        return Kind(what, _read_weights, lambda path: True)
    if path.suffix in (".onnx", ".pt2"):  # a .pt2 is a zip, which has checksums; ONNX has none
        return Kind("merged network", description, lambda path: path.suffix == ".pt2")
    if path.name.endswith(tuple(map(suffix, get_args(Split)))):
        return Kind("ground truth", read_truth)
    if path.name.endswith(STRIPPED):
        return Kind("names of test images", check_stripped)
    if path.name.endswith(".protocol.json"):
        return Kind("protocol", _read_protocol)
    if path.suffix != ".json":
        return None
    if protocol_path(path).exists() or path.stem.startswith("results"):
        return RESULTS
    return _by_content(path)


def _by_content(path: Path) -> Kind | None:
    with path.open("rb") as file:
        if file.read(100).removeprefix(BOM_UTF8).lstrip().startswith(b"["):
            return RESULTS
    try:
        data = read_json(path)
    except DataError:
        return Kind("JSON", read_json)  # its error says what is wrong
    keys = data.keys() if isinstance(data, dict) else set()
    if "baseline_errors" in keys:
        return Kind("baseline", SavedBaseline.read)
    return Kind("score", _read_score) if keys & {"domains", "score", "mean_accuracy", "points"} else None


def _read_score(path: Path) -> object:
    data = read_json(path)
    of_group = isinstance(data, dict) and "runs" in data and "seeds" in data
    return GroupScore.read(path) if of_group else Score.read(path)


def _read_protocol(path: Path) -> object:
    """Read the results that a protocol belongs to, which checks both."""
    results = path.with_name(path.name.removesuffix(".protocol.json") + ".json")
    if not results.exists():
        raise DataError(f"{path} is alone: {results.name} is missing. Predict again.")
    return read_results(results)


def _read_weights(path: Path) -> object:
    about = read_tensors(path)[1]
    if about.get("format") == FORMAT:
        return load_merged(path)
    shape = DOMAIN if path.parent.name == "domains" else TRUNK if path.name == "trunk.safetensors" else dict
    check(about, shape, f"the metadata of {path}", RESTORE)
    return about


RESULTS = Kind("results", read_results, lambda path: protocol_path(path).exists())
BY_NAME = {
    RECORD: Kind("record", read_record),
    SEEDS: Kind("seeds of a group", lambda path: find_group(path.parent)),
    "score.json": Kind("score", _read_score),
    "score-val.json": Kind("score", _read_score),
    "metrics.jsonl": Kind("metrics", read_metrics, lambda path: False),
    "timing.jsonl": Kind("timing", lambda path: read_lines(path, TIMING), _lines_have_checksums),
    "footprint.json": Kind("footprint", read_footprint, lambda path: False),
}
