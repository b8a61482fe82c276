"""The end of an epoch: validation, and the lines that say what the epoch reached."""

from __future__ import annotations

from typing import Any

from decathlon.data.image_pool import Pool
from decathlon.inference.evaluate import evaluate
from decathlon.job import Job
from decathlon.runs.run_directory import TIMING_FILE, Run
from decathlon.system.checksums import seal
from decathlon.system.progress import TrainingProgress


def end_epoch(
    run: Run, job: Job, held_out: dict[str, Pool], images: int, seconds: float, progress: TrainingProgress
) -> None:
    """Validate, and write the metrics of an epoch that took `seconds` for `images`."""
    rows = _rows(job, held_out)
    epoch = rows[0]["epoch"]
    run.append("metrics.jsonl", rows)
    timing = {"epoch": epoch, "images": images, "seconds": seconds, "domains": job.domains}
    run.append(TIMING_FILE, [seal(timing)])  # run.json, the same in every repetition, cannot list its checksum
    progress.epoch(epoch, job.recipe.epochs, sum(row["train_loss"] for row in rows) / len(rows))


def _rows(job: Job, held_out: dict[str, Pool]) -> list[dict[str, Any]]:
    epoch = job.step // job.epoch_steps
    validate = epoch % job.recipe.eval_every == 0 or epoch == job.recipe.epochs
    rows = []
    for name, (loss, correct, images) in zip(job.domains, job.tally.sums.tolist(), strict=True):
        row = {"epoch": epoch, "step": job.step, "domain": name, "lr": job.optimizers[0].param_groups[0]["lr"]}
        row |= {"train_loss": loss / images, "train_accuracy": correct / images}
        if validate and name in held_out:
            result = evaluate(job.family.networks[name], held_out[name], job.bf16)
            row |= {"val_loss": result.loss, "val_accuracy": result.accuracy}
        rows.append(row)
    return rows
