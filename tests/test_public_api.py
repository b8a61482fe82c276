"""`import decathlon`: every public name is there, documented, typed, and takes a path as text or as a Path."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import decathlon
from decathlon.config.recipe import Recipe
from decathlon.data_prep.synth.table import TABLE
from tests.helpers.house import ROOMS, ROOT, modules
from tests.helpers.marks import slow
from tests.helpers.packs import write_truth
from tests.helpers.runs import RECIPE

INIT = ROOT / "decathlon" / "__init__.py"
PUBLIC = [name for name in decathlon.__all__ if name != "__version__"]
AsPath = Callable[[Path], "str | Path"]
either = pytest.mark.parametrize("kind", [str, slow(Path)])


def homes() -> dict[str, str]:
    """Return the module of every name as the block for type checkers has it."""
    block = next(node for node in ast.parse(INIT.read_text()).body if isinstance(node, ast.If))
    return {
        alias.name: f"decathlon.{node.module.removeprefix('decathlon.')}"
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    lazily = {name: f"decathlon.{home}" for name, home in vars(decathlon)["_HOME"].items()}
    assert homes() == lazily and sorted(lazily) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_loads_and_says_what_it_is(name: str) -> None:
    value = getattr(decathlon, name)
    assert value.__module__ == homes()[name], "exported from where it is defined"
    text = inspect.getdoc(value) or ""
    assert len(text) > 40, "say what it takes and returns, in which shapes and units, and what it raises"
    assert name in dir(decathlon)


def test_no_public_name_hides_a_module() -> None:
    inside = {name.split(".")[1] for name in modules() if "." in name}
    assert not inside & set(PUBLIC)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'decathlon' has no attribute 'lod_run'"):
        decathlon.lod_run  # noqa: B018


@pytest.mark.parametrize("code", ["import decathlon", "import decathlon; dir(decathlon); decathlon.DecathlonError"])
def test_importing_loads_nothing_heavy(code: str) -> None:
    heavy = "{'torch', 'timm', 'numpy', 'h5py', 'PIL', 'matplotlib', 'click', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"import sys; {code}; assert not {heavy}, {heavy}"], check=True)


def test_a_submodule_is_still_a_module_after_the_names_are_used() -> None:
    for name in PUBLIC:
        getattr(decathlon, name)
    for room in ROOMS:
        assert inspect.ismodule(importlib.import_module(f"decathlon.{room}"))
        assert inspect.ismodule(getattr(decathlon, room))


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over the tiny packed file, with its results."""
    folder = tmp_path_factory.mktemp("public") / "run"
    decathlon.train(decathlon.Request(tiny, folder, "bn", "wrn-10-1", RECIPE, device="cpu"))
    decathlon.predict_run(folder, tiny, "test", folder / "results.json", "cpu")
    return folder


@either
def test_data(kind: AsPath, tiny: Path, tmp_path: Path) -> None:
    with decathlon.PackedFile(kind(tiny)) as packed:
        assert packed.count("apples", "train") == 24
    assert len(decathlon.PackedDomain(kind(tiny), "apples")) == 24
    assert decathlon.problems(kind(tiny)) == []
    benchmark = decathlon.synthesize(kind(tmp_path / "drawn"), table=TABLE[:1])
    assert benchmark.names == (TABLE[0].name,)
    one = decathlon.PackOptions(workers=1)
    done = decathlon.prepare(kind(tmp_path / "drawn"), kind(tmp_path / "drawn.h5"), one)
    again = decathlon.prepare([kind(tmp_path / "drawn")], kind(tmp_path / "again.h5"), one)
    assert done.digest == again.digest and done.path == tmp_path / "drawn.h5"


@either
def test_a_data_set_of_ones_own(kind: AsPath, tmp_path: Path) -> None:
    from PIL import Image

    for number in range(12):
        file = tmp_path / "set" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (20 * number, 0, 0)).save(file)
    where: Any = {"source": kind(tmp_path / "set"), "truth": kind(tmp_path / "truth")}
    addition = decathlon.AddRequest("mine", **where)
    added = decathlon.add(kind(tmp_path / "mine.h5"), addition, decathlon.PackOptions(workers=1))
    assert added.prepared.images == 12
    assert [domain.name for domain in decathlon.read_truth(kind(tmp_path / "truth")).domains] == ["mine"]


@either
def test_training(kind: AsPath, tiny: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch=8, size=16, precision="fp32")
    request: Any = {"data": kind(tiny), "out": kind(tmp_path / "run"), "trunk": "wrn-10-1", "recipe": recipe}
    run = decathlon.train(decathlon.Request(method="bn", device="cpu", **request))
    assert decathlon.resume(kind(run.folder)).folder == run.folder  # nothing was left to do
    over: Any = {"data": kind(tiny), "out": kind(tmp_path / "over"), "trunk": kind(run.folder), "recipe": recipe}
    decathlon.train(decathlon.Request(method="feature", device="cpu", **over))


@either
def test_a_finished_run(kind: AsPath, trained: Path, tiny: Path, tmp_path: Path) -> None:
    import torch

    model = decathlon.load_run(kind(trained), "cpu")
    assert not any(network.training for network in model.networks.values())
    logits = decathlon.predict_all(model.networks, torch.zeros(2, 3, 16, 16))
    assert {name: each.shape for name, each in logits.items()} == {
        "apples": (2, 2),
        "boats": (2, 5),
        "towers": (2, 3),
    }
    counts = decathlon.predict_run(kind(trained), kind(tiny), "val", kind(tmp_path / "val.json"), "cpu")
    assert counts == {"apples": 9, "boats": 9, "towers": 9}
    decathlon.export(kind(trained), "boats", kind(tmp_path / "boats.safetensors"))
    network = decathlon.load_merged(kind(tmp_path / "boats.safetensors"))
    assert network(torch.zeros(1, 3, 16, 16)).shape == (1, 5)
    assert decathlon.description(kind(tmp_path / "boats.safetensors"))["domain"] == "boats"


@either
def test_scores(kind: AsPath, trained: Path, tiny: Path, tmp_path: Path) -> None:
    truth = decathlon.read_truth(kind(write_truth(tmp_path / "truth")))
    results = decathlon.read_results(kind(trained / "results.json"))
    found = decathlon.score(results, truth, decathlon.find_baseline(truth, data=kind(tiny)))
    assert found.total is not None and 0 <= found.total <= 3000
    (tmp_path / "score.json").write_text(json.dumps(found.to_json()))
    assert decathlon.Score.read(kind(tmp_path / "score.json")) == found
    again = decathlon.find_baseline(truth, kind(tmp_path / "score.json"))
    assert again.errors == {domain.name: domain.error for domain in found.domains}


@either
def test_a_recipe_file(kind: AsPath, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("epochs = 7\n")
    assert decathlon.find_recipe(kind(tmp_path / "mine.toml")).epochs == 7


@either
@pytest.mark.parametrize(
    "name", ["PackedFile", "load_merged", "description", "load_run", "read_results", "read_truth", "problems"]
)
def test_what_is_not_there_is_an_error_of_the_toolkit(name: str, kind: AsPath, tmp_path: Path) -> None:
    with pytest.raises(decathlon.DecathlonError, match="nothing"):
        getattr(decathlon, name)(kind(tmp_path / "nothing"))
