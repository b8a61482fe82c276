"""`decathlon data synth`: draw the synthetic benchmark."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from decathlon.cli.data._options import PATH
from decathlon.system.text import say

if TYPE_CHECKING:
    from decathlon.data_prep.synth.table import SynthDomain


@click.command()
@click.argument("out", type=PATH)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the images.")
def command(out: Path, seed: int) -> None:
    """Draw ten small domains into the new folder OUT, in the official layout.

    It takes seconds and about 20 MB, and needs no download. The baselines were measured on seed 0; another seed
    draws other images of the same classes.

    \b
    Examples:
      decathlon data synth synth/
      decathlon data prepare synth/ -o synth.h5
    """
    from decathlon.data_prep.synth.write import synthesize

    synthesize(out, seed, _show)
    source, packed = shlex.quote(str(out)), shlex.quote(f"{out.name}.h5")
    say(f"Next: decathlon data prepare {source} -o {packed}")


def _show(domain: SynthDomain) -> None:
    counts = f"{domain.train:4d} train {domain.val:4d} val {domain.test:4d} test"
    say(f"{domain.name:<10} {len(domain.classes):3d} classes {counts}")
