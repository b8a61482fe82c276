"""Visual Decathlon: multi-domain image classification with one trunk and light per-domain adapters.

The names below are the public interface; they load on first use, so `import decathlon` is fast. Every function that
takes a path takes `str` and `pathlib.Path` alike, and raises a `DecathlonError` whose message says what to do.
docs/python.md shows them at work.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decathlon.config.recipe import Recipe
    from decathlon.config.recipe_files import find_recipe
    from decathlon.data.ground_truth import read_truth
    from decathlon.data.packed_file import PackedFile
    from decathlon.data.torch_dataset import PackedDomain
    from decathlon.data_prep.challenge.prepare import prepare
    from decathlon.data_prep.custom.add import add
    from decathlon.data_prep.custom.add_request import AddRequest
    from decathlon.data_prep.packing.check import problems
    from decathlon.data_prep.packing.pipeline import PackOptions
    from decathlon.data_prep.synth.write import synthesize
    from decathlon.errors import DecathlonError
    from decathlon.experiments.launch import train
    from decathlon.experiments.request import Request
    from decathlon.experiments.resume import resume
    from decathlon.inference.export import export
    from decathlon.inference.network_file import description, load_merged, to_input
    from decathlon.inference.predict import predict_run
    from decathlon.inference.serving import merge_all, predict_all, predict_mixed, sharing
    from decathlon.models.method import Method, Options, option
    from decathlon.runs.loading import load_run
    from decathlon.scoring.baseline import find_baseline
    from decathlon.scoring.results import read_results
    from decathlon.scoring.score import Score, score

__all__ = [
    "__version__", "AddRequest", "DecathlonError", "Method", "Options", "PackedDomain", "PackedFile", "PackOptions",
    "Recipe", "Request", "Score", "add", "description", "export", "find_baseline", "find_recipe", "load_merged",
    "load_run", "merge_all", "option", "predict_all", "predict_mixed", "predict_run", "prepare", "problems",
    "read_results", "read_truth", "resume", "score", "sharing", "synthesize", "to_input", "train",
]  # fmt: skip
__version__ = "0.1.0"

_NAMES = {  # the module that defines each public name
    "config.recipe": "Recipe",
    "config.recipe_files": "find_recipe",
    "data.ground_truth": "read_truth",
    "data.packed_file": "PackedFile",
    "data.torch_dataset": "PackedDomain",
    "data_prep.challenge.prepare": "prepare",
    "data_prep.custom.add": "add",
    "data_prep.custom.add_request": "AddRequest",
    "data_prep.packing.check": "problems",
    "data_prep.packing.pipeline": "PackOptions",
    "data_prep.synth.write": "synthesize",
    "errors": "DecathlonError",
    "experiments.launch": "train",
    "experiments.request": "Request",
    "experiments.resume": "resume",
    "inference.export": "export",
    "inference.network_file": "description load_merged to_input",
    "inference.predict": "predict_run",
    "inference.serving": "merge_all predict_all predict_mixed sharing",
    "models.method": "Method Options option",
    "runs.loading": "load_run",
    "scoring.baseline": "find_baseline",
    "scoring.results": "read_results",
    "scoring.score": "Score score",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOME.keys())
