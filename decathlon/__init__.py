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

_HOME = {  # of every public name, the module that defines it
    "AddRequest": "data_prep.custom.add_request",
    "DecathlonError": "errors",
    "Method": "models.method",
    "Options": "models.method",
    "PackedDomain": "data.torch_dataset",
    "PackedFile": "data.packed_file",
    "PackOptions": "data_prep.packing.pipeline",
    "Recipe": "config.recipe",
    "Request": "experiments.request",
    "Score": "scoring.score",
    "add": "data_prep.custom.add",
    "description": "inference.network_file",
    "export": "inference.export",
    "find_baseline": "scoring.baseline",
    "find_recipe": "config.recipe_files",
    "load_merged": "inference.network_file",
    "load_run": "runs.loading",
    "merge_all": "inference.serving",
    "option": "models.method",
    "predict_all": "inference.serving",
    "predict_mixed": "inference.serving",
    "predict_run": "inference.predict",
    "prepare": "data_prep.challenge.prepare",
    "problems": "data_prep.packing.check",
    "read_results": "scoring.results",
    "read_truth": "data.ground_truth",
    "resume": "experiments.resume",
    "score": "scoring.score",
    "sharing": "inference.serving",
    "synthesize": "data_prep.synth.write",
    "to_input": "inference.network_file",
    "train": "experiments.launch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _HOME.keys())
