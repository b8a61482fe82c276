"""`decathlon merge`: one domain's network as a plain network in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from decathlon.system.text import say

if TYPE_CHECKING:
    from decathlon.inference.export import Exported, Form

USE = {
    "safetensors": "decathlon.load_merged({!r})",
    "torch-export": "torch.export.load({!r}).module()",
    "onnx": "onnxruntime.InferenceSession({!r})",
}


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("domain")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.option("--format", "form", type=click.Choice(list(USE)), help="Default: by the ending of the file.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(run: Path, domain: str, out: Path, form: Form | None, force: bool) -> None:
    """Write one DOMAIN of RUN as a plain network for serving.

    Adapters become part of their convolutions, and norms part of the convolution before them. The file is read back
    and its logits are compared with the run's before it gets its name. It also contains the categories and how
    images are cropped and normalised.

    \b
    decathlon merge runs/parallel digits -o digits.safetensors
    decathlon merge runs/parallel digits -o digits.onnx      # needs pip install 'visual-decathlon[onnx]'
    decathlon merge runs/mtan digits -o digits.pt2           # torch.export
    """
    from decathlon.inference.export import export, find_form
    from decathlon.runs.run_directory import Run
    from decathlon.system.files import refuse_existing

    if not force:
        refuse_existing(out, "choose another name with -o, or replace it with --force")
    found = find_form(out, form)
    done = export(Run(run), domain, out, found)
    _report(done)
    say(f"wrote {out}: {found}, {out.stat().st_size / 1e6:.1f} MB")
    size = done.about["input"]["size"]
    say(f"input: images (batch, 3, {size}, {size}), as decathlon.to_input makes")
    say(f"Next: {USE[found].format(str(out))} in Python")


def _report(done: Exported) -> None:
    """Print what happened to adapters and norms, and what that changed."""
    from collections import Counter

    about = done.about
    norms = len(done.folded) + len(done.kept)
    say(
        f"{about['domain']}, {about['run']['method']} over {about['trunk']}: {done.adapters} adapters merged, "
        f"{len(done.folded)} of {norms} norms folded"
    )
    if not about["plain"]:
        say(f"{about['run']['method']} is more than its trunk: its own modules are kept")
    for reason, count in Counter(done.kept.values()).items():
        say(f"norms kept: {count}, {reason}")
    before, after = (work / 1e6 for work in done.multiply_adds)
    say(f"multiply-adds per image: {before:.1f} M before, {after:.1f} M now")
    say(f"largest difference from the run's logits on random images: {done.difference:.1e}")
