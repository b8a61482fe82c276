"""`decathlon train`: train the domains of a packed file with a method."""

import shlex
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from decathlon.system.text import say

# options of the recipe, by their names there
RECIPE_OPTIONS = {
    "epochs": (int, "Virtual epochs."),
    "batch": (int, "Images of one domain in a micro-batch."),
    "size": (int, "Side in pixels of what the network sees."),
    "side": (int, "Side in pixels that images are resized to before they are cropped; default 9/8 of size."),
    "eval_size": (int, "Side in pixels of the images in validation and prediction; default: as --size."),
    "crop": (str, "crop, squash or full for all domains; default: each domain's own."),
    "augment": (bool, "Crop and flip at random; otherwise take the centre."),
    "cache_taps": (float, "Gigabytes of memory for the taps of a frozen trunk; needs --no-augment."),
    "lr": (float, "Peak learning rate."),
    "weight_decay": (float, "Weight decay."),
    "decay_norms": (bool, "Weight decay on norms and biases too."),
    "optimizer": (str, "sgd, momentum, adam, adamw, lion, …; an unknown one lists all."),
    "together": (bool, "One micro-batch of every domain in every optimizer step."),
    "sampling": (str, "proportional, uniform, power:a, round-robin or sequential."),
    "objective": (str, "What a micro-batch is trained on: cross-entropy."),
    "auxiliaries": (str, "Losses beside it, dropped after training, as rotation=0.5,reconstruct."),
    "teacher": (str, "A finished run, for auxiliary objective hint."),
    "weighting": (
        str,
        "How the domains' losses are balanced: equal, dwa, uncertainty, …; an unknown one lists all.",
    ),
    "precision": (str, "auto, fp32 or bf16."),
    "compile": (bool, "Compile the networks with torch.compile, once for all domains."),
    "cuda_graphs": (bool, "Replay compiled networks as CUDA graphs, for small batches; needs --compile."),
    "eval_every": (int, "Epochs between validations."),
    "keep": (str, "Weights to keep: last, of the last epoch, or best, of the best in validation."),
}


FLAGS = {"domains": "DOMAIN", "settings": "--set"}  # parameters that have another name on the command line


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
@click.option("--method", help="How a domain's network differs from the trunk; see 'decathlon methods'.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the method; see 'decathlon methods NAME'.",
)
@click.option("--trunk", default="wrn-28-4", show_default=True, help="A trunk's name, or a run to take it from.")
@click.option("--freeze/--no-freeze", default=None, help="Freeze the trunk, or train it with the domains.")
@click.option("--recipe", default="common", show_default=True, help="The name of a recipe, or a TOML file.")
@click.option(
    "--fit",
    type=click.Choice(["train", "train+val"]),
    default="train",
    show_default=True,
    help="Splits to use.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    help="Train N runs with consecutive seeds; --out holds them all.",
    metavar="N",
)
@click.option("--device", help="cpu, cuda or cuda:N; default: a GPU where there is one.")
@click.option("--threads", type=click.IntRange(1, 4096), help="CPU threads; default: torch's.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Run directory to create.")
@click.option("--resume", is_flag=True, help="Continue the run in --out; needs no other option.")
@click.option(
    "--allow-change",
    is_flag=True,
    help="With --resume: accept another --lr, --threads, --device, … than the run was begun with.",
)
@click.pass_context
def command(
    ctx: click.Context, /, out: Path, resume: bool, data: Path | None, threads: int | None, seeds: int | None,
    **chosen: Any,
) -> None:  # fmt: skip
    """Train DOMAINS (default: all) of a packed file with one method.

    \b
    decathlon train --data mini.h5 --method bn -o runs/trunk          # all domains train one trunk
    decathlon train --data mini.h5 --method parallel --trunk runs/trunk -o runs/parallel
    decathlon train --resume -o runs/parallel                          # after an interruption
    decathlon train --data mini.h5 --method bn --seeds 3 -o runs/three # runs/three/seed-0, seed-1, seed-2

    Ctrl-C and SIGTERM end training after the current step, or after validation if that is running. The state is
    saved, and --resume continues to the same result, bit by bit. A second signal ends at once; --resume then
    continues from the last checkpoint.
    """
    from decathlon.experiments.interruption import resumable

    if not resume and (data is None or chosen["method"] is None):
        raise click.UsageError("a new run needs --data FILE.h5 and --method NAME (see 'decathlon methods').", ctx)
    if ctx.params["allow_change"] and not resume:
        raise click.UsageError("--allow-change needs --resume. Leave it out, or add --resume.", ctx)
    with resumable(out):
        import torch  # takes seconds, in which a signal may come too

        from decathlon.reports.terminal import write

        if threads:
            torch.set_num_threads(threads)
        if data is None or resume:
            table, data = _resume(ctx, out)
        else:
            table = _begin(_request(data, out, chosen), seeds)
    write([table], "table")
    following = shlex.join(["predict", str(out), "--data", str(data)])
    say(f"Next: decathlon {following}")


def _begin(request: Any, seeds: int | None) -> Any:
    from decathlon.experiments.launch import train
    from decathlon.experiments.seeds import train_seeds
    from decathlon.reports.training_table import group_summary, summary
    from decathlon.system.progress import TrainingProgress

    if seeds is None:
        return summary(train(request, TrainingProgress()))
    return group_summary(train_seeds(request, seeds, TrainingProgress()))


def _resume(ctx: click.Context, out: Path) -> tuple[Any, Path]:
    """Continue a run or a group of runs; return its summary and the file it was trained on."""
    from decathlon.experiments.resume import resume
    from decathlon.experiments.seeds import resume_seeds
    from decathlon.reports.training_table import group_summary, summary
    from decathlon.runs.seed_group import find_group
    from decathlon.system.progress import TrainingProgress

    group, given = find_group(out), _given(ctx)
    if group is None:
        run = resume(out, _resume_request(given, out), TrainingProgress())
        return summary(run), given.get("data") or run.read().data.path
    for name in given.keys() - {"data"}:
        flag = FLAGS.get(name, "--" + name.replace("_", "-"))
        raise click.UsageError(f"--resume continues a group as it was begun. Leave out {flag}.", ctx)
    resume_seeds(group, given.get("data"), TrainingProgress())
    return group_summary(group), given.get("data") or Path(group.request["data"])


def _given(ctx: click.Context) -> dict[str, Any]:
    """Return the options given on the command line, except --resume and --out."""
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
        and value != ()
        and name not in ("resume", "out")
    }


def _resume_request(given: dict[str, Any], out: Path) -> Any:
    """Return what was given when resuming, to be compared with what the run was begun with."""
    from decathlon.config.recipe_files import find_recipe
    from decathlon.experiments.resume_changes import ResumeRequest
    from decathlon.models.registry import read_options
    from decathlon.runs.run_directory import Run

    if "seeds" in given:
        raise click.UsageError(f"{out} is not a group of runs. Leave out --seeds.")
    options = {name: given[name] for name in RECIPE_OPTIONS if name in given}
    recipe = find_recipe(given["recipe"]).override(options, "the command line") if "recipe" in given else None
    fields: dict[str, Any] = {
        name: given[name] for name in ("method", "trunk", "seed", "fit", "domains") if name in given
    }
    if "freeze" in given:
        fields["regime"] = "frozen" if given["freeze"] else "joint"
    if "settings" in given:
        fields["options"] = read_options(given.get("method") or Run(out).read().method, given["settings"])
    return ResumeRequest(
        data=given.get("data"), device=given.get("device"), threads=given.get("threads"),
        options=options, recipe=recipe, fields=fields, allow="allow_change" in given,
    )  # fmt: skip


def _request(data: Path, out: Path, chosen: dict[str, Any]) -> Any:
    """Return the request of a new run; `chosen` are the options by their names here."""
    from decathlon.config.recipe_files import find_recipe
    from decathlon.experiments.request import Request
    from decathlon.models.registry import read_options

    given = {name: chosen[name] for name in RECIPE_OPTIONS if chosen[name] is not None}
    options = read_options(chosen["method"], chosen["settings"])
    recipe = find_recipe(chosen["recipe"]).override(given, "the command line")
    freeze = chosen["freeze"]
    return Request(
        data=data, out=out, method=chosen["method"], trunk=chosen["trunk"],
        recipe=recipe, domains=chosen["domains"],
        regime=None if freeze is None else "frozen" if freeze else "joint",
        fit=chosen["fit"], seed=chosen["seed"], device=chosen["device"],
        options=options,
    )  # fmt: skip
