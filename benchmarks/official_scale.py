r"""Preparing the nine small domains at official scale: stand-in images, the real counts, ids, names and sizes.

    \b
    python -m benchmarks.official_scale --labels decathlon-test-labels.zip -o benchmarks/results/NAME

The archives are made as the challenge's are: annotations in one, one tar per domain in the other. The test
annotations are the released ones; those of train and val are made with the published counts. The images are smooth
JPEGs of the released sizes, a few per size. `decathlon data prepare` is then timed, checked, killed at random
moments and started again.
"""

from __future__ import annotations

import json
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import command_line, machine
from benchmarks.stand_in import DIFFERENT, jpeg, write_stand_in
from benchmarks.timing import Case, measure
from decathlon.data.official import OFFICIAL
from decathlon.data.packed_file import PackedFile
from decathlon.data_prep.packing.decoding import Chunk, decode_chunk
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.system.files import write_json

SMALL = tuple(name for name in OFFICIAL if name != "imagenet12")


@click.command(help=__doc__)
@click.option("--labels", type=click.Path(exists=True, path_type=Path), required=True, help="Released test labels.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Results, without an ending.")
@click.option("--kills", type=click.IntRange(0), default=5, show_default=True)
@click.option("--part", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Part of all images.")
@click.option("--scratch", type=click.Path(path_type=Path), help="Where 6 GB fit; default: the temporary folder.")
def command(labels: Path, out: Path, kills: int, part: float, scratch: Path | None) -> None:
    """Make the stand-in, prepare it, and print how long that took."""
    about = machine() | {"command": command_line("official_scale")}
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        archives = write_stand_in(labels, folder, part, click.echo)
        found: dict[str, Any] = {
            "machine": about,
            "part": part,
            "archives": [path.stat().st_size for path in archives],
        }
        found |= prepared(archives, folder / "whole.h5") | {"counts": counts(folder / "whole.h5")}
        found["decode_per_cpu_second"] = decoding()
        write_json(out.with_name(f"{out.name}.json"), found)
        found["kills"] = [killed(archives, folder / "killed.h5", found["seconds"]) for _ in range(kills)]
        if kills:
            found["digest_after_kills"] = prepared(archives, folder / "killed.h5")["digest"]
        write_json(out.with_name(f"{out.name}.json"), found)
    click.echo(json.dumps(found, indent=1))
    if kills and found["digest"] != found["digest_after_kills"]:
        raise click.ClickException("the file has another digest after the kills.")


def decoding() -> float:
    """Return how many of the stand-in's images a processor second decodes, as the workers do it."""
    pictures = tuple(Picture("image", data=jpeg(72 + 8 * (i % 5), 72, i % DIFFERENT)) for i in range(128))
    chunk = Chunk("stand-in", pictures, 72)
    return measure({"decode": Case(len(pictures), lambda: decode_chunk(chunk))})["decode"].per_cpu_second


def prepared(archives: list[Path], output: Path) -> dict[str, Any]:
    """Run `data prepare` to its end; return seconds, processor seconds, images, memory in MB and digest."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(_command(archives, output), capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"data prepare failed: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    summary = re.search(r"([\d,]+) images, .* at most ([\d,]+) MB of memory\); digest (\w+)", done.stderr)
    assert summary is not None, done.stderr
    return {
        "seconds": time.monotonic() - began,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "images": int(summary[1].replace(",", "")),
        "memory_mb": int(summary[2].replace(",", "")),
        "digest": summary[3],
        "lines": done.stderr.replace(f"{output.parent}/", "").splitlines(),
    }


def killed(archives: list[Path], output: Path, seconds: float) -> dict[str, Any]:
    """Kill `data prepare` after a random part of the time it takes; return when, and whether there is a file."""
    after = random.uniform(0, 0.95 * seconds)
    process = subprocess.Popen(_command(archives, output), stderr=subprocess.DEVNULL)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    finished = process.wait() == 0  # faster than the first time
    found = output.exists()
    output.unlink(missing_ok=True)
    return {"after_seconds": after, "finished": finished, "file_there": found}


def counts(path: Path) -> dict[str, Any]:
    """Return the counts of every domain and whether they are the official ones."""
    with PackedFile(path) as file:
        there = {name: {split: file.count(name, split) for split in ("train", "val", "test")} for name in SMALL}
    right = all(there[name][split] == OFFICIAL[name].count(split) for name in there for split in there[name])
    return {"official": right, "domains": there}


def _command(archives: list[Path], output: Path) -> list[str]:
    code = "from decathlon.cli.main import main; main()"
    return [sys.executable, "-c", code, "data", "prepare", *map(str, archives), "-o", str(output)]


if __name__ == "__main__":
    command()
