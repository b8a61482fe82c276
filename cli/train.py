"""`decathlon train`: train the domains of a packed file with a method."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

# options that change a knob of the recipe, by its name there
RECIPE_OPTIONS = {
    "epochs": (int, "Virtual epochs."),
    "batch": (int, "Images of one domain in a micro-batch."),
    "size": (int, "Pixels a side of what the network sees."),
    "side": (int, "Pixels a side images are resized to before cutting; default 9/8 of size."),
    "crop": (str, "crop, squash or full for all domains; default: each domain's own."),
    "augment": (bool, "Cut and mirror at random; else the centre."),
    "cache_taps": (float, "Gigabytes for what a frozen trunk makes of the images; needs --no-augment."),
    "lr": (float, "Highest learning rate."),
    "weight_decay": (float, "Weight decay."),
    "optimizer": (str, "sgd, momentum, adam, adamw, lion, …; an unknown one lists all."),
    "sampling": (str, "proportional, uniform, power:a, round-robin or sequential."),
    "objective": (str, "What a micro-batch is trained on: cross-entropy."),
    "weighting": (str, "How the domains' losses are balanced: equal."),
    "precision": (str, "auto, fp32 or bf16."),
    "compile": (bool, "Compile the networks with torch.compile, once for all domains."),
    "cuda_graphs": (bool, "Replay compiled networks as CUDA graphs, for small batches; needs --compile."),
    "eval_every": (int, "Epochs between validations."),
}


FLAGS = {"domains": "DOMAIN", "settings": "--set"}  # what a user calls a parameter, where its name differs


def _recipe_options(command: click.Command) -> click.Command:
    for name, (kind, about) in RECIPE_OPTIONS.items():
        flag = "--" + name.replace("_", "-")
        flag += f"/--no-{flag[2:]}" if kind is bool else ""
        command.params.append(click.Option([flag], type=kind, default=None, help=f"Recipe: {about}"))
    return command


@_recipe_options
@click.command()
@click.argument("domains", nargs=-1, metavar="[DOMAIN ...]")
@click.option("--data", type=click.Path(path_type=Path), help="Packed file, made by 'decathlon data prepare'.")
@click.option("--method", help="How domains differ from the trunk; see 'decathlon methods'.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the method; see 'decathlon methods NAME'.",
)
@click.option("--trunk", default="wrn-28-4", show_default=True, help="A trunk's name, or a run to take it from.")
@click.option("--freeze/--no-freeze", default=None, help="Keep the trunk, or train it with the domains.")
@click.option("--recipe", default="common", show_default=True, help="A recipe's name or a TOML file.")
@click.option(
    "--fit", type=click.Choice(["train", "train+val"]), default="train", show_default=True, help="Splits."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--seeds", type=click.IntRange(1), help="Repeat the run with so many seeds; --out holds them all.")
@click.option("--device", help="cpu, cuda or cuda:N; default: a GPU where there is one.")
@click.option("--threads", type=click.IntRange(1, 4096), help="CPU threads; default: torch's.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Run directory to make.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out; needs no other option.")
@click.option(
    "--allow-change",
    is_flag=True,
    help="With --resume: take another --lr, --threads, --device, … than the run was begun with.",
)
@click.pass_context
def command(
    ctx: click.Context, /, out: Path, resume: bool, data: Path | None, threads: int | None, seeds: int | None,
    **asked: Any,
) -> None:  # fmt: skip
    """Train DOMAINS (default: all) of a packed file with one method.

    \b
    decathlon train --data mini.h5 --method bn -o runs/trunk          # all domains teach one trunk
    decathlon train --data mini.h5 --method parallel --trunk runs/trunk -o runs/parallel
    decathlon train --resume -o runs/parallel                          # after an interruption
    decathlon train --data mini.h5 --method bn --seeds 3 -o runs/three # runs/three/seed-0, seed-1, seed-2

    Ctrl-C and SIGTERM end training after the step at work, in a validation after that: the state is saved, and
    --resume goes on to the same bits. A second one ends at once; then --resume goes on from the last checkpoint.
    """
    from decathlon.experiments.interruption import resumable

    if not resume and (data is None or asked["method"] is None):
        raise click.UsageError("a new run needs --data FILE.h5 and --method NAME (see 'decathlon methods').", ctx)
    if ctx.params["allow_change"] and not resume:
        raise click.UsageError("--allow-change goes with --resume: leave it out, or add --resume.", ctx)
    with resumable(out):
        import torch  # takes seconds, in which a signal may come too

        from decathlon.reports.terminal import write

        if threads:
            torch.set_num_threads(threads)
        if data is None or resume:
            table, data = _resume(ctx, out)
        else:
            table = _begin(_request(data, out, asked), seeds)
    write([table], "table")
    again = shlex.join(["predict", str(out), "--data", str(data)])
    click.echo(f"Next: decathlon {again}", err=True)


def _begin(request: Any, seeds: int | None) -> Any:
    from decathlon.experiments.launch import train
    from decathlon.experiments.seeds import train_seeds
    from decathlon.reports.training_table import group_summary, summary
    from decathlon.system.progress import TrainingProgress

    if seeds is None:
        return summary(train(request, TrainingProgress()))
    return group_summary(train_seeds(request, seeds, TrainingProgress()))


def _resume(ctx: click.Context, out: Path) -> tuple[Any, Path]:
    """Go on with a run or a group of runs; return its summary and the file it was trained on."""
    from decathlon.experiments.resume import resume
    from decathlon.experiments.seeds import resume_seeds
    from decathlon.reports.training_table import group_summary, summary
    from decathlon.runs.seed_group import find_group
    from decathlon.system.progress import TrainingProgress

    group, given = find_group(out), _given(ctx)
    if group is None:
        run = resume(out, _again(given, out), TrainingProgress())
        return summary(run), given.get("data") or run.read().data.path
    for name in given.keys() - {"data"}:
        flag = FLAGS.get(name, "--" + name.replace("_", "-"))
        raise click.UsageError(f"--resume goes on with a group as it was begun: leave out {flag}.", ctx)
    resume_seeds(group, given.get("data"), TrainingProgress())
    return group_summary(group), given.get("data") or Path(group.request["data"])


def _given(ctx: click.Context) -> dict[str, Any]:
    """Return the options that stand on the command line, but those that only say what to do."""
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
        and value != ()
        and name not in ("resume", "out")
    }


def _again(given: dict[str, Any], out: Path) -> Any:
    """Return what a resumed run is asked for again; it is compared with what it was begun with."""
    from decathlon.config.recipe_files import find_recipe
    from decathlon.experiments.resume_changes import ResumeRequest
    from decathlon.models.registry import read_options
    from decathlon.runs.run_directory import Run

    if "seeds" in given:
        raise click.UsageError(f"{out} is no group of runs: leave out --seeds.")
    options = {name: given[name] for name in RECIPE_OPTIONS if name in given}
    recipe = find_recipe(given["recipe"]).override(options, "the command line") if "recipe" in given else None
    request = dict[str, Any](
        (name, given[name]) for name in ("method", "trunk", "seed", "fit", "domains") if name in given
    )
    if "freeze" in given:
        request["regime"] = "frozen" if given["freeze"] else "joint"
    if "settings" in given:
        request["options"] = read_options(given.get("method") or Run(out).read().method, given["settings"])
    return ResumeRequest(
        given.get("data"),
        given.get("device"),
        given.get("threads"),
        options,
        recipe,
        request,
        "allow_change" in given,
    )


def _request(data: Path, out: Path, asked: dict[str, Any]) -> Any:
    from decathlon.config.recipe_files import find_recipe
    from decathlon.models.registry import read_options

    options = {name: asked[name] for name in RECIPE_OPTIONS if asked[name] is not None}
    options = read_options(asked["method"], asked["settings"])
    recipe = find_recipe(asked["recipe"]).override(options, "the command line")
    from decathlon.experiments.request import Request

    freeze = asked["freeze"]
    return Request(
        data=data, out=out, method=asked["method"], trunk=asked["trunk"],
        recipe=recipe, domains=asked["domains"],
        regime=None if freeze is None else "frozen" if freeze else "joint",
        fit=asked["fit"], seed=asked["seed"], device=asked["device"],
        options=options,
    )  # fmt: skip
