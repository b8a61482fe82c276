"""Where the baseline errors of a score come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from decathlon.data.domains import Benchmark
from decathlon.data.ground_truth import Truth
from decathlon.data.official import OFFICIAL, is_official
from decathlon.errors import DataError, UsageError
from decathlon.runs.seed_group import find_group
from decathlon.scoring.protocol import protocol_text
from decathlon.scoring.score import Baseline, Score
from decathlon.scoring.seed_scores import read_score
from decathlon.system.checksums import is_sealed, read_sealed
from decathlon.system.files import read_bytes, read_json
from decathlon.system.schema import find_fault, within

OFFICIAL_TEXT = "official: the Finetune row of Rebuffi et al. 2017"
NO_BASELINE = Baseline("none")


def find_baseline(truth: Truth, asked: str | Path | None = None, data: str | Path | None = None) -> Baseline:
    """Return the baseline to score `truth` against: by domain, the error in 0..1 that earns 250 points.

    `asked` is `official`, a score.json, a run directory with one, a group of runs, whose mean counts, or a saved
    baseline. For domains that this does not hold, and without any: the errors in the packed file `data`, or in a
    benchmark.json beside the ground truth, or the official ones of official domains, or none.
    Raises DataError when a source describes another benchmark than the ground truth.
    """
    data = None if data is None else Path(data)
    if asked == "official":
        return _only_official(truth)
    if asked is not None:
        return _asked(truth, Path(asked), data)
    return _told(truth, data)


def unsealed_files(asked: str | None) -> list[Path]:
    """Return the files behind a baseline that was asked for and found which have no checksum of what they say."""
    if asked in (None, "official"):
        return []
    path = Path(asked or "")
    group = find_group(path)
    folders = list(group.runs.values()) if group else [path]
    files = [folder / "score.json" if folder.is_dir() else folder for folder in folders]
    return [file for file in files if not is_sealed(read_bytes(file))]


def _told(truth: Truth, data: Path | None) -> Baseline:
    for benchmark, source in _benchmarks(truth, data):
        errors = _errors(truth, benchmark, source)
        if errors:
            return _named(truth, Baseline(f"{benchmark.name}: {benchmark.baseline or 'its facts'}", errors))
    errors = {d.name: OFFICIAL[d.name].finetune_error for d in truth.domains if d.name in _official(truth)}
    return Baseline(OFFICIAL_TEXT, errors) if errors else NO_BASELINE


def _official(truth: Truth) -> set[str]:
    return {d.name for d in truth.domains if is_official(d.name, len(d.categories), len(d.answers))}


def _only_official(truth: Truth) -> Baseline:
    others = [d.name for d in truth.domains if d.name not in _official(truth)]
    if others:
        raise UsageError(
            f"{truth.source} does not hold the official {', '.join(others)} (other classes or images): "
            "their official baseline errors do not apply, name a score.json with --baseline."
        )
    return Baseline(OFFICIAL_TEXT, {d.name: OFFICIAL[d.name].finetune_error for d in truth.domains})


def _asked(truth: Truth, path: Path, data: Path | None) -> Baseline:
    if not path.exists():
        raise UsageError(
            f"there is no {path}: --baseline takes a score.json, a run directory, a saved baseline or 'official'."
        )
    saved = SavedBaseline.read(path)
    if saved is None:
        measured = SavedBaseline.of(read_score(path))
        return Baseline(f"measured: the errors of {path}", _on(truth, measured, path))
    errors = _on(truth, saved, path)
    rest = tuple(domain for domain in truth.domains if domain.name not in errors)
    others = _told(replace(truth, domains=rest), data) if rest else NO_BASELINE
    text = f"measured: {saved.text}" + (f"; {', '.join(others.errors)}: {others.text}" if others.errors else "")
    return Baseline(text, {**others.errors, **errors})


def _on(truth: Truth, measured: SavedBaseline, path: Path) -> dict[str, float]:
    """Return the errors measured on the domains of the ground truth; raises DataError for other test images."""
    for domain in truth.domains:
        images = measured.images.get(domain.name, len(domain.answers))
        if images != len(domain.answers):
            raise DataError(
                f"{path} was measured on another benchmark: {images} images of {domain.name}, "
                f"the ground truth has {len(domain.answers)}."
            )
    return {d.name: measured.errors[d.name] for d in truth.domains if d.name in measured.errors}


def _benchmarks(truth: Truth, data: Path | None) -> list[tuple[Benchmark, str]]:
    found = []
    if data is not None:
        from decathlon.data.packed_file import PackedFile

        with PackedFile(data) as packed:
            if not {domain.name for domain in truth.domains} & set(packed.benchmark.names):
                raise DataError(
                    f"{data} holds none of the domains of {truth.source}: name the file predicted from."
                )
            found.append((packed.benchmark, str(data)))
    folder = truth.source if truth.source.is_dir() else truth.source.parent
    for file in (folder / "benchmark.json", folder.parent / "benchmark.json"):
        if file.is_file():
            found.append((Benchmark.from_json(read_json(file), str(file)), str(file)))
            break
    return found


def _errors(truth: Truth, benchmark: Benchmark, source: str) -> dict[str, float]:
    errors = {}
    described = {domain.name: domain for domain in benchmark}
    for domain in truth.domains:
        facts = described.get(domain.name)
        if facts is None:
            continue
        if set(facts.category_ids) != domain.categories:
            raise DataError(
                f"{source} describes another benchmark than {truth.source}: the categories of {domain.name} "
                "differ; name the right file with --data, or a score.json with --baseline."
            )
        if facts.baseline_error is not None:
            errors[domain.name] = facts.baseline_error
    return errors


def _named(truth: Truth, baseline: Baseline) -> Baseline:
    """Return the baseline under its official name where it is the official one, whoever told its errors."""
    official = _official(truth)
    same = all(
        domain.name in official
        and abs(baseline.errors.get(domain.name, 2.0) - OFFICIAL[domain.name].finetune_error) < 1e-9
        for domain in truth.domains
    )
    return Baseline(OFFICIAL_TEXT, baseline.errors) if same else baseline


SHAPE = {"baseline_errors": {str: {"error": float, "images": within(int, 1, 10**12)}}, "baseline": str}
MAKE = "make one with 'decathlon score RUN --truth PATH --save-baseline FILE.json'"


@dataclass(frozen=True)
class SavedBaseline:
    """Errors in 0..1 by domain and the number of test images they were measured on; `text` says how."""

    text: str
    errors: Mapping[str, float]
    images: Mapping[str, int]

    @classmethod
    def of(cls, score: Score) -> SavedBaseline:
        """Return the errors of a score, or of the mean over a group."""
        protocol = score.protocol or {}
        told = [str(protocol["method"])] if "method" in protocol else []
        text = ", ".join([*told, protocol_text(protocol) or "protocol unknown"])
        return cls(text, {d.name: d.error for d in score.domains}, {d.name: d.images for d in score.domains})

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and numbers; `read` is the way back."""
        domains = {name: {"error": error, "images": self.images[name]} for name, error in self.errors.items()}
        return {"baseline_errors": domains, "baseline": self.text}

    @classmethod
    def read(cls, path: Path) -> SavedBaseline | None:
        """Read a baseline; return None when the file is none, raise DataError when it holds other than errors."""
        data = None if path.is_dir() else read_sealed(path, MAKE)
        if not isinstance(data, dict) or "baseline_errors" not in data:
            return None
        fault = find_fault(data, SHAPE)
        if fault:
            raise DataError(f"{path} is no baseline ({fault}): {MAKE}.")
        errors = {name: float(entry["error"]) for name, entry in data["baseline_errors"].items()}
        images = {name: entry["images"] for name, entry in data["baseline_errors"].items()}
        for name, error in errors.items():
            if not 0 <= error <= 1:
                raise DataError(f"{path}: the error {error} of {name} is not between 0 and 1: correct it.")
        return cls(data["baseline"], errors, images)
