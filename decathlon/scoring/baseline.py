"""Where the baseline errors of a score come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from decathlon.data.domains import Benchmark
from decathlon.data.ground_truth import Split, Truth
from decathlon.data.official import OFFICIAL, is_official
from decathlon.errors import DataError, UsageError, VerificationError
from decathlon.runs.seed_group import find_group
from decathlon.scoring.results import of_split, protocol_text
from decathlon.scoring.score import Baseline, DomainScore, Score
from decathlon.scoring.seed_scores import read_score
from decathlon.system.checksums import is_sealed, read_sealed
from decathlon.system.files import read_bytes, read_json
from decathlon.system.schema import find_fault, within
from decathlon.system.text import first

OFFICIAL_TEXT = "official: the Finetune row of Rebuffi et al. 2017"
NO_BASELINE = Baseline("none")
SHAPE = {
    "baseline_errors": {str: {"error": within(float, 0, 1), "images": within(int, 1, 10**12)}},
    "baseline": str,
    "split?": Literal["test", "val"],
}
SAVE_ONE = "Make one with 'decathlon score RUN --truth PATH --save-baseline FILE.json'"


@dataclass(frozen=True)
class SavedBaseline:
    """Errors in 0..1 by domain and the number of images of a split they were measured on; `text` describes how."""

    text: str
    errors: Mapping[str, float]
    images: Mapping[str, int]
    split: Split = "test"

    @classmethod
    def of(cls, score: Score) -> SavedBaseline:
        """Return the errors of a score, or of the mean over a group, as a baseline."""
        protocol = score.protocol or {}
        method = [str(protocol["method"])] if "method" in protocol else []
        text = ", ".join([*method, protocol_text(protocol) or "protocol unknown"])
        errors, images = ({d.name: getattr(d, part) for d in score.domains} for part in ("error", "images"))
        return cls(text, errors, images, score.split)

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and numbers; `read` reads them back."""
        domains = {name: {"error": error, "images": self.images[name]} for name, error in self.errors.items()}
        return {"baseline_errors": domains, "baseline": self.text, "split": self.split}

    @classmethod
    def read(cls, path: Path) -> SavedBaseline | None:
        """Read a baseline; return None for a file of another kind, raise DataError for a malformed baseline."""
        data = None if path.is_dir() else read_sealed(path, SAVE_ONE)
        if not isinstance(data, dict) or "baseline_errors" not in data:
            return None
        fault = find_fault(data, SHAPE)
        if fault:
            raise DataError(f"{path} is not a baseline ({fault}). {SAVE_ONE}.")
        domains = data["baseline_errors"]
        errors = {name: float(entry["error"]) for name, entry in domains.items()}
        images = {name: entry["images"] for name, entry in domains.items()}
        return cls(data["baseline"], errors, images, data.get("split", "test"))


def find_baseline(truth: Truth, source: str | Path | None = None, data: str | Path | None = None) -> Baseline:
    """Return the baseline to score `truth` against: by domain, the error in 0..1 that earns 250 points.

    `source` is `official`, a score.json, a run directory with one, a group of runs, whose mean is taken, or a saved
    baseline. Domains that it lacks, or all of them without a source, take the errors in the packed file `data`, or
    in a benchmark.json beside the ground truth, or the official ones of official domains, or none. These are errors
    on test images: for the validation split only a source that was measured on it gives a baseline.
    Raises DataError when a source describes another benchmark than the ground truth.
    """
    data = (truth.source if truth.packed else None) if data is None else Path(data)
    if source == "official":
        return _only_official(truth)
    return _default(truth, data) if source is None else _measured(truth, Path(source), data)


def kept_baseline(scores: Iterable[Path], truth: Truth, default: Baseline) -> Baseline | None:
    """Return the baseline of earlier scores where it differs from `default`, for scores that take their place.

    None where there is no earlier score, or none with points. Raises UsageError for a baseline that does not fit
    the truth, and for several.
    """
    found: dict[str, Baseline] = {}
    held = {domain.name: len(domain.answers) for domain in truth.domains}
    for file in filter(Path.exists, scores):
        try:
            before = Score.read(file)
        except (DataError, VerificationError):  # nothing to keep
            continue
        errors = {d.name: d.baseline_error for d in before.domains if d.baseline_error is not None}
        shared = {name: error for name, error in errors.items() if name in held}
        if not errors or (shared and all(default.errors.get(name) == error for name, error in shared.items())):
            continue
        other = before.split != truth.split or any(held.get(d.name, d.images) != d.images for d in before.domains)
        if other or not shared:
            problem = f"{file} was scored on other images than {truth.source} holds, against {before.baseline}"
            raise UsageError(f"{problem}. Name a baseline with --baseline, or take the usual one with --force.")
        others = {name: error for name, error in default.errors.items() if name not in shared}
        found[str(file)] = Baseline(_joined(before.baseline, others, default.text), {**others, **shared})
    kept = list(found.values())
    if any(one.errors != kept[0].errors for one in kept):
        raise UsageError(
            f"{' and '.join(found)} were scored against different baselines. Name one with --baseline, or take the "
            "usual one with --force."
        )
    return kept[0] if kept else None


def rebased(score: Score, source: str) -> Score:
    """Return a score with the points that it earns against another baseline, a source as in `find_baseline`.

    Domains that the source lacks keep their errors. Raises DataError for a source measured on other images.
    """
    images = {domain.name: domain.images for domain in score.domains}
    if source == "official":
        official = score.split == "test" and all(n in OFFICIAL and OFFICIAL[n].test == images[n] for n in images)
        if not official:
            raise UsageError(
                "the official baseline is for the official domains. Name a score.json with --baseline."
            )
        text, errors = OFFICIAL_TEXT, {name: OFFICIAL[name].finetune_error for name in images}
    else:
        measured, text = _read_source(Path(source), score.split)
        errors = _errors_in(measured, images, score.split, Path(source))
        if not errors:  # of another benchmark than this row
            return score
    own = {d.name: d.baseline_error for d in score.domains if d.name not in errors and d.baseline_error is not None}
    domains = tuple(
        DomainScore(d.name, d.accuracy, d.error, d.images, {**own, **errors}.get(d.name), d.majority)
        for d in score.domains
    )
    return replace(score, domains=domains, baseline=_joined(text, own, score.baseline))


def _joined(text: str, others: Mapping[str, float], of_others: str) -> str:
    added = f"; {', '.join(others)}: {of_others}" if others else ""
    return text if added in text else text + added


def unsealed_files(source: str | None, split: Split = "test") -> list[Path]:
    """Return the files of a baseline source, as in `find_baseline`, that carry no checksum."""
    if source in (None, "official"):
        return []
    path = Path(source or "")
    group = find_group(path)
    folders = list(group.runs.values()) if group else [path]
    files = [folder / of_split("score", split) if folder.is_dir() else folder for folder in folders]
    return [file for file in files if not is_sealed(read_bytes(file))]


def _default(truth: Truth, data: Path | None) -> Baseline:
    if truth.split != "test":
        return NO_BASELINE
    official = _official(truth)
    for benchmark, source in _benchmarks(truth, data):
        if errors := _errors(truth, benchmark, source):
            # the official errors have the official name, whatever their source
            same = all(abs(errors.get(d.name, 2.0) - official.get(d.name, -1.0)) < 1e-9 for d in truth.domains)
            text = OFFICIAL_TEXT if same else f"{benchmark.name}: {benchmark.baseline or 'its facts'}"
            return Baseline(text, errors)
    return Baseline(OFFICIAL_TEXT, official) if official else NO_BASELINE


def _official(truth: Truth) -> dict[str, float]:
    """Return the official errors of the official domains."""
    domains = (d.name for d in truth.domains if is_official(d.name, len(d.categories), len(d.answers)))
    return {name: OFFICIAL[name].finetune_error for name in domains}


def _only_official(truth: Truth) -> Baseline:
    if truth.split != "test":
        raise UsageError(
            "the official errors are of test images, not of val images. Name a score-val.json instead."
        )
    errors = _official(truth)
    others = [d.name for d in truth.domains if d.name not in errors]
    if others:
        raise UsageError(
            f"{truth.source} does not hold the official {', '.join(others)} (other classes or images), so the "
            "official baseline errors do not apply. Name a score.json with --baseline."
        )
    return Baseline(OFFICIAL_TEXT, errors)


def _read_source(path: Path, split: Split) -> tuple[SavedBaseline, str]:
    """Return the errors that a file, run or group holds, and the text that names them."""
    if not path.exists():
        raise UsageError(
            f"{path} does not exist. Name a score.json, a run directory, a saved baseline or 'official'."
        )
    saved = SavedBaseline.read(path)
    if saved is None:
        return SavedBaseline.of(read_score(path, split)), f"measured: the errors of {path}"
    return saved, f"measured: {saved.text}"


def _measured(truth: Truth, path: Path, data: Path | None) -> Baseline:
    measured, text = _read_source(path, truth.split)
    errors = _errors_in(measured, {d.name: len(d.answers) for d in truth.domains}, truth.split, path)
    if not errors:
        raise UsageError(f"{path} holds errors of {first(measured.errors)} alone. Name another --baseline.")
    rest = tuple(domain for domain in truth.domains if domain.name not in errors)
    others = _default(replace(truth, domains=rest), data) if rest else NO_BASELINE
    return Baseline(_joined(text, others.errors, others.text), {**others.errors, **errors})


def _errors_in(measured: SavedBaseline, images: Mapping[str, int], split: Split, path: Path) -> dict[str, float]:
    """Return the errors on the scored domains, which have so many images; raises DataError for other images."""
    if measured.split != split:
        raise DataError(
            f"{path} was measured on {measured.split} images, these are {split} images. Name another --baseline."
        )
    for name, scored in images.items():
        if measured.images.get(name, scored) != scored:
            raise DataError(
                f"{path} was measured on another benchmark: {measured.images[name]} images of {name}, "
                f"the ground truth has {scored}. Name another --baseline."
            )
    return {name: measured.errors[name] for name in images if name in measured.errors}


def _benchmarks(truth: Truth, data: Path | None) -> list[tuple[Benchmark, str]]:
    found = []
    if data is not None:
        from decathlon.data.packed_file import PackedFile

        with PackedFile(data) as packed:
            if not {domain.name for domain in truth.domains} & set(packed.benchmark.names):
                raise DataError(
                    f"{data} holds none of the domains of {truth.source}. Name the packed file predicted from."
                )
            found.append((packed.benchmark, str(data)))
    folder = truth.source if truth.source.is_dir() else truth.source.parent
    files = [home / "benchmark.json" for home in (folder, folder.parent)]
    if file := next(filter(Path.is_file, files), None):
        found.append((Benchmark.from_json(read_json(file), str(file)), str(file)))
    return found


def _errors(truth: Truth, benchmark: Benchmark, source: str) -> dict[str, float]:
    errors = {}
    described = {domain.name: domain for domain in benchmark}
    for domain in [domain for domain in truth.domains if domain.name in described]:
        facts = described[domain.name]
        if set(facts.category_ids) != domain.categories:
            raise DataError(
                f"{source} describes another benchmark than {truth.source}: the categories of {domain.name} "
                "differ. Name the right file with --data, or a score.json with --baseline."
            )
        if facts.baseline_error is not None:
            errors[domain.name] = facts.baseline_error
    return errors
