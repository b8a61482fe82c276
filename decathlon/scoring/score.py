"""The decathlon score: up to 1000 points per domain, against the errors of a baseline.

    S = sum over domains d of 1000 * (max(0, Emax_d - E_d) / Emax_d)^2,    Emax_d = 2 * baseline error of d

Rebuffi, Bilen, Vedaldi, "Learning multiple visual domains with residual adapters", NeurIPS 2017
(https://arxiv.org/abs/1705.08045), section 4. The baseline itself earns 250 points per domain.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from decathlon.data.ground_truth import Split, Truth
from decathlon.errors import DataError, VerificationError
from decathlon.runs.record import RunRecord, find_record
from decathlon.scoring.answers import check, refuse_other_images
from decathlon.scoring.results import Results, of_split, split_in
from decathlon.system.checksums import read_sealed
from decathlon.system.files import sha256
from decathlon.system.schema import digest, find_fault, within

MOST_POINTS = 1000.0
RESCORE = "Make it again with 'decathlon score RUN --truth PATH'"
PART = within(float, 0, 1)
DOMAIN_SHAPE = {
    "accuracy": PART,
    "error": PART,
    "points": (float, None),
    "baseline_error": (PART, None),
    "images": within(int, 1, 10**12),
    "majority": (PART, None),
}
SHAPE = {
    "score": (float, None),
    "domains": {str: DOMAIN_SHAPE},
    "mean_accuracy": PART,
    "missing": [str],
    "baseline": str,
    "protocol": (dict, None),
    "truth_sha256": (digest, None),
    "split?": Literal["test", "val"],
}


@dataclass(frozen=True)
class DomainScore:
    """One domain's accuracy and error, in 0..1, over `images` images.

    `majority` is the accuracy of always answering the most frequent category; None when it is unknown.
    """

    name: str
    accuracy: float
    error: float
    images: int
    baseline_error: float | None = None
    majority: float | None = None

    @property
    def points(self) -> float | None:
        """The domain's points; None without a baseline, or against one that makes no error."""
        return None if self.baseline_error is None else points(self.error, self.baseline_error)


def points(error: float, baseline_error: float) -> float | None:
    """Return the points of an error in 0..1; None against a baseline without error: they are undefined."""
    worst = 2 * baseline_error
    if worst == 0:
        return None
    share = max(0.0, worst - error) / worst
    return MOST_POINTS * share * share


@dataclass(frozen=True)
class Baseline:
    """Errors in 0..1 by domain that earn 250 points; `text` describes their source."""

    text: str
    errors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """The scores of the domains that were answered; `missing` names those that were not.

    `truth` is the SHA-256 of the answers they were scored against; None when it is unknown. `split` is their split.
    """

    domains: tuple[DomainScore, ...]
    baseline: str
    missing: tuple[str, ...] = ()
    protocol: Mapping[str, Any] | None = None
    truth: str | None = None
    split: Split = "test"

    @property
    def total(self) -> float | None:
        """The sum of the points; None when a domain is missing or has no points."""
        earned = [domain.points for domain in self.domains]
        known = [value for value in earned if value is not None]
        return None if self.missing or len(known) < len(earned) else math.fsum(known)

    @property
    def mean_accuracy(self) -> float:
        """The mean over domains, all with the same weight."""
        return math.fsum(domain.accuracy for domain in self.domains) / len(self.domains)

    def notes(self) -> list[str]:
        """Return sentences on why points or a total are missing; empty when they are not."""
        bare = [domain.name for domain in self.domains if domain.baseline_error is None]
        zero = [domain.name for domain in self.domains if domain.baseline_error == 0]
        unseen = self.split not in str((self.protocol or {}).get("fit")).split("+")
        sentences = (
            (() if unseen else (self.split,), "The run was trained on these {} images too."),
            (self.missing, "No prediction for {}, so there is no total."),
            (bare, "No baseline error for {}. For points, score a fine-tuned run with --save-baseline "
             "FILE.json, then this one with --baseline FILE.json."),
            (zero, "The baseline makes no error on {}, so its points and the total are undefined."),
        )  # fmt: skip
        return [sentence.format(", ".join(names)) for names, sentence in sentences if names]

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and numbers; `from_json` reads them back."""
        return {
            "score": self.total,
            "domains": {
                domain.name: {key: getattr(domain, key) for key in DOMAIN_SHAPE} for domain in self.domains
            },
            "mean_accuracy": self.mean_accuracy,
            "missing": list(self.missing),
            "baseline": self.baseline,
            "protocol": None if self.protocol is None else dict(self.protocol),
            "truth_sha256": self.truth,
            "split": self.split,
        }

    @classmethod
    def from_json(cls, data: Any, source: str) -> Score:
        """Build a score from parsed JSON; raises DataError when it is malformed or contradicts itself."""
        fault = find_fault(data, SHAPE) or ("" if data["domains"] else "it has no domains")
        if fault:
            raise DataError(f"{source} is not a score ({fault}). {RESCORE}.")
        domains, missing = data["domains"], tuple(data["missing"])
        keys = DOMAIN_SHAPE.keys() - {"points"}
        entries = tuple(DomainScore(name, **{key: domains[name][key] for key in keys}) for name in domains)
        split = data.get("split") or split_in(data["protocol"]) or "test"
        score = cls(entries, data["baseline"], missing, data["protocol"], data["truth_sha256"], split)
        agrees = all(abs(d.accuracy + d.error - 1) < 1e-6 for d in entries)
        agrees &= not domains.keys() & set(missing) and len(set(missing)) == len(missing)
        agrees &= all(_same(d.points, domains[d.name]["points"]) for d in entries)
        agrees &= _same(score.total, data["score"])
        agrees &= _same(score.mean_accuracy, data["mean_accuracy"])
        agrees &= split_in(data["protocol"]) in (None, split)
        if not agrees:
            raise DataError(f"{source} contradicts itself. {RESCORE}.")
        return score

    @classmethod
    def read(cls, path: str | Path, split: Split = "test", record: RunRecord | None = None) -> Score:
        """Read a score.json, or that of a split in the run directory `path`; `record` is the run's, if known.

        Raises UsageError when the run is not trained, DataError for a malformed score or that of other results
        than the run's, VerificationError for one of other weights.
        """
        path = Path(path)
        file = path / of_split("score", split) if path.is_dir() else path
        if path.is_dir() and not file.is_file():
            if (held := find_record(path)) and held.status != "done":  # there is more to do first than to score
                from decathlon.runs.run_directory import Run

                Run(path).read_done()
            if held is None and not [*path.glob("results*.json"), *path.glob("score*.json")]:
                raise DataError(f"{path} is not a run directory. Name the runs themselves.")
            raise DataError(f"{path} has no {file.name}. Run '{how_to_score(path, split=split)}' first.")
        found = cls.from_json(read_sealed(file, RESCORE), str(file))
        if path.is_dir():
            refuse_other_results(path, found, record or find_record(path))
        return found


def how_to_score(path: Path, partial: bool = False, split: Split = "test") -> str:
    """Return the command that scores a run, a group or results."""
    options = (" --split val" if split == "val" else "") + (" --partial" if partial else "")
    return f"decathlon score {shlex.quote(str(path))} --truth PATH{options}"


def refuse_other_results(folder: Path, score: Score, record: RunRecord | None) -> None:
    """Raise an error for the score of a run directory that was made from other results or weights than it has.

    That is DataError for the results, VerificationError for the weights that `record` lists.
    """
    name = of_split("score", score.split)
    results, made_from = folder / of_split("results", score.split), (score.protocol or {}).get("results_sha256")
    if made_from is not None and results.exists() and sha256(results) != made_from:
        again = how_to_score(folder, bool(score.missing), score.split)
        raise DataError(f"{folder}/{name} was made from other results. Run '{again}'.")
    refuse_other_weights(folder, name, score.protocol, record)


def refuse_other_weights(
    folder: Path, name: str, protocol: Mapping[str, Any] | None, record: RunRecord | None
) -> None:
    """Raise VerificationError for results or a score `name` in a run directory that other weights made.

    Those that an earlier release made of a run of its own name no weights; there method, trunk and seed have to be
    those of the run.
    """
    if record is None:
        return
    told = protocol or {}
    if record.weights and any(domain.digests for domain in record.domains):
        same = told.get("weights") == record.weights
    else:
        mine = {"method": record.label, "regime": record.regime, "trunk": record.trunk.name, "seed": record.seed}
        same = not record.weights or told.get("weights", record.weights) == record.weights
        same &= protocol is not None and all(told.get(key, value) == value for key, value in mine.items())
    if not same:
        split = " --split val" if name.endswith("-val.json") else ""
        again = f"decathlon predict {shlex.quote(str(folder))} --data FILE.h5{split} --force"
        raise VerificationError(f"{folder}/{name} was not made by this run's weights. Run '{again}'.")


def score(results: Results, truth: Truth, baseline: Baseline, partial: bool = False) -> Score:
    """Score results that answer every image of every domain; with `partial`, whole domains may be missing.

    Errors and accuracies are in 0..1, points from 0 to 1000 per domain; `total` is None where a domain is missing
    or has no baseline error. Raises DataError listing the faults in the results, or when they are of another split,
    VerificationError when they are of other images.
    """
    if results.split not in (None, truth.split):
        raise DataError(
            f"{results.source} predicts {results.split} images, and {truth.source} holds the answers of the "
            f"{truth.split} images. Name the truth of the {results.split} images."
        )
    refuse_other_images(results, truth)
    missing = check(results, truth, partial)
    answers = dict(zip(results.image_ids, results.category_ids, strict=True))
    domains = []
    for domain in truth.domains:
        if domain.name in missing:
            continue
        images = len(domain.answers)
        correct = sum(answers[image] == category for image, category in domain.answers.items())
        parts = correct / images, (images - correct) / images, images
        domains.append(DomainScore(domain.name, *parts, baseline.errors.get(domain.name), domain.majority))
    return Score(tuple(domains), baseline.text, missing, results.protocol, truth.digest(missing), truth.split)


def _same(mine: float | None, theirs: Any) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    return math.isclose(mine, float(theirs), abs_tol=1e-6)
