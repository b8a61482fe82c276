from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from decathlon.cli.main import command
from decathlon.config import recipe_files
from decathlon.config.recipe import OWN, Recipe
from decathlon.config.recipe_files import find_recipe, recipe_text
from decathlon.data.image_pool import load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import UsageError
from decathlon.experiments.resume import resume
from decathlon.inference import predict as prediction
from decathlon.inference.predict import predict_run
from decathlon.models.multi_domain_model import DomainNetwork, MultiDomainModel
from decathlon.models.registry import find_method
from decathlon.models.trunks.registry import build
from decathlon.runs.trunk_source import find_trunk
from decathlon.scoring.results import protocol_text, read_results
from decathlon.system.progress import TrainingProgress
from decathlon.training.optimizer import groups
from decathlon.training.trainer import Trainer
from tests.helpers.marks import slow
from tests.helpers.packs import TINY, tiny_domain
from tests.helpers.runs import RECIPE, digests, dying_at, go
from tests.training.test_optimizer import network

BOATS = {"domains": {"boats": {"epochs": 2, "crop": "full", "flip": True, "weight_decay": 0, "lr": 0.02}}}


def write(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.toml").write_text(text)
    return str(folder / f"{name}.toml")


def test_a_table_overrides_one_domain_and_comes_back_from_json() -> None:
    recipe = Recipe(weight_decay=0.1).override(BOATS)
    own = recipe.for_domain("boats")
    assert (own.epochs, own.crop, own.flip, own.weight_decay, own.lr) == (2, "full", True, 0, 0.02)
    assert own.domains == {} and recipe.for_domain("apples") == Recipe(weight_decay=0.1)
    assert Recipe().override(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    ("table", "message"),
    [({"batch": 3}, "but not batch"), ({"epochs": 2.5}, "epochs is 2.5, it must be a whole number"),
     ({"flip": 1}, "flip is 1, it must be true or false"), ({"lr": -1}, "lr is -1, it must be a number from 0"),
     ({"crop": "square"}, "crop is 'square', it must be domain, crop, squash or full"), (3, "Write it as a table")],
)  # fmt: skip
def test_a_bad_table_is_named_with_what_it_may_hold(tmp_path: Path, table: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        Recipe().override({"domains": {"boats": table}})
    assert f"[domains.boats] may set {', '.join(OWN)}" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("lr = -1", "own.toml: lr is -1, it must be a number from 0"), ("lr = 'x'", "own.toml: lr is 'x', it must"),
     ("epoch = 3", "unknown option 'epoch' in .*own.toml. Did you mean epochs?"),
     ("optimizer = 'sgdd'", "own.toml: unknown optimizer 'sgdd'"), ("sampling = 'x'", "own.toml: unknown sampling"),
     ("[domains.a]\nbatch = 3", r"own.toml: \[domains.a\] may set .* but not batch"),
     ("side = 9", "own.toml: side 9 is smaller than size 64"), ("crop = 'x'", "own.toml: crop is 'x', it must be")],
)  # fmt: skip
def test_an_error_in_a_file_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        find_recipe(write(tmp_path, "own", text))
    assert str(raised.value).count("own.toml") == 1


def test_what_is_nearer_wins_over_a_table_too() -> None:
    recipe = Recipe().override(BOATS).override({"epochs": 7, "domains": {"boats": {"lr": 0.3}}})
    assert recipe.for_domain("boats").epochs == 7 and recipe.for_domain("boats").lr == 0.3
    assert recipe.for_domain("boats").crop == "full"
    both = Recipe().override({"epochs": 7, **BOATS})
    assert both.for_domain("boats").epochs == 2 and both.for_domain("apples").epochs == 7


def test_a_file_begins_from_a_built_in_recipe_and_that_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "first", "epochs = 5\nlr = 0.5\n[domains.boats]\nweight_decay = 1.0")
    write(tmp_path, "second", 'base = "first"\nlr = 0.25')
    monkeypatch.setattr(recipe_files, "FOLDER", tmp_path)
    own = find_recipe(write(tmp_path, "own", 'base = "second"\nsize = 32\n[domains.boats]\ncrop = "full"'))
    expected = Recipe(epochs=5, lr=0.25, size=32, domains={"boats": {"weight_decay": 1.0, "crop": "full"}})
    assert own == expected


def test_a_base_must_be_there_and_lead_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for base, hint in (("comon", "Did you mean common?"), ("x.toml", "Choose one of: common, ")):
        message = rf"unknown base '{base}' in .*/own.toml, it must be a built-in recipe. {hint}"
        with pytest.raises(UsageError, match=message):
            find_recipe(write(tmp_path, "own", f'base = "{base}"'))
    write(tmp_path, "hen", 'base = "egg"')
    write(tmp_path, "egg", 'base = "hen"')
    monkeypatch.setattr(recipe_files, "FOLDER", tmp_path)
    with pytest.raises(UsageError, match="is its own base .hen from egg from hen."):
        find_recipe("hen")


@pytest.mark.parametrize("name", recipe_files.recipes())
def test_a_recipe_is_shown_with_every_option_as_a_file_that_gives_it_again(tmp_path: Path, name: str) -> None:
    output = CliRunner().invoke(command, ["recipes", name], catch_exceptions=False).output
    assert find_recipe(write(tmp_path, "again", output)) == find_recipe(name)
    assert "batch = " in output and "  # images of one domain\n" in output
    assert output == CliRunner().invoke(command, ["recipes", str(tmp_path / "again.toml")]).output


def test_a_shown_recipe_quotes_what_is_no_bare_key() -> None:
    recipe = Recipe(about='a "b"').override({"domains": {"ö.x": {"flip": False}, "vgg-flowers": {"lr": 1e-5}}})
    output = tomllib.loads(recipe_text(recipe))
    assert Recipe().override(output) == recipe and "[domains.vgg-flowers]" in recipe_text(recipe)


def test_spottune_decays_each_domain_as_published() -> None:
    recipe = find_recipe("spottune")
    decays = {name: recipe.for_domain(name).weight_decay for name in ("omniglot", "vgg-flowers", "svhn")}
    assert decays == {"omniglot": 5e-4, "vgg-flowers": 1e-4, "svhn": 0}
    assert [round(part * recipe.epochs, 4) for part in recipe.milestones] == [40, 60, 80]


@pytest.mark.parametrize("names", [TINY.names, TINY.names[:1]])
def test_url_takes_12000_steps_of_all_domains_whatever_their_number(tiny: Path, names: tuple[str, ...]) -> None:
    recipe = find_recipe("url").override({"size": 16, "batch": 4})
    method = find_method("bn")(find_trunk("wrn-10-1", 0).trunk)
    model = MultiDomainModel(method, 0, torch.device("cpu"))
    with PackedFile(tiny) as packed:
        pools = {name: load_pool(packed, TINY[name], ("train",), 16, 18) for name in names}
    for name in names:
        model.add(name, len(TINY[name].categories))
    trainer = Trainer(model, pools, recipe, 0, bf16=False)
    assert trainer.steps == 12000 and set(trainer._plan(0)) == {tuple(range(len(names)))}


def test_a_domain_decays_its_own_modules_and_not_what_is_shared() -> None:
    trunk, nets = nn.Conv2d(3, 3, 1), {"boats": network(), "apples": network()}
    made = groups(
        trunk, nn.Module(), nets, Recipe(weight_decay=0.5).override({"domains": {"boats": {"weight_decay": 2}}})
    )
    decays = {id(p): group["weight_decay"] for group in made for p in group["params"]}
    weights = {name: {decays[id(p)] for p in net.parameters() if p.ndim > 1} for name, net in nets.items()}
    assert weights == {"boats": {2}, "apples": {0.5}} and decays[id(trunk.weight)] == 0.5


@pytest.mark.parametrize("facts", [True, False])
@pytest.mark.parametrize("general", [True, False])
def test_crop_and_flip_of_a_table_stand_over_recipe_and_facts(general: bool, facts: bool) -> None:
    domain = tiny_domain("boats", 2, 5, flip=facts, crop="squash")
    assert Recipe(flip=general).facts(domain).flip == (general and facts)
    for flip in (True, False):
        recipe = Recipe(flip=general, crop="full", domains={"boats": {"flip": flip, "crop": "domain"}})
        assert recipe.facts(domain).flip == flip and recipe.facts(domain).crop == "squash"
    assert Recipe(crop="full").facts(domain).crop == "full"


def test_a_domain_of_its_own_crop_and_flip_is_predicted_as_it_was_trained(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[tuple[str, str, str, bool]]()

    def watched(where: str) -> Any:
        def load(packed: PackedFile, domain: Any, splits: Any, *cut: Any) -> Any:
            seen.append((where + splits[0], domain.name, domain.crop, domain.flip))
            return load_pool(packed, domain, splits, *cut)

        return load

    monkeypatch.setattr("decathlon.training.loop.load_pool", watched("learn "))
    monkeypatch.setattr(prediction, "load_pool", watched("predict "))
    # towers are squashed anyway
    tables = {"boats": {"crop": "full", "flip": True}, "apples": {"flip": False}, "towers": {"crop": "squash"}}
    run = go(tiny, tmp_path / "run", recipe=RECIPE.override({"epochs": 1, "domains": tables}))
    predict_run(run, tiny, "test", tmp_path / "results.json")
    facts = {(name, crop, flip) for _, name, crop, flip in seen}
    assert facts == {("boats", "full", True), ("apples", "crop", False), ("towers", "squash", True)}
    assert Counter(where for where, *_ in seen) == {"learn train": 3, "learn val": 3, "predict test": 3}
    protocol = json.loads((tmp_path / "results.protocol.json").read_text())
    assert protocol["epochs"] == 1 and protocol["own"] == "crop of boats and flip of 2 domains"
    assert str(protocol_text(protocol)).endswith("wrn-10-1, own crop of boats and flip of 2 domains")


TABLES = {"domains": {"apples": {"epochs": 1}, "towers": {"epochs": 4, "lr": 0.01}, "svhn": {"epochs": 9}}}


def test_only_what_differs_is_a_domains_own() -> None:
    tables = {"boats": {"flip": False, "lr": 0.1}, "apples": {"crop": "crop", "weight_decay": 0}}
    recipe = Recipe(lr=0.1).override({"domains": tables})  # boats never flip, apples are cut as a crop anyway
    assert prediction._own(recipe, list(TINY)) == "weight_decay of apples"


def test_domains_that_train_apart_may_have_epochs_of_their_own(tiny: Path, tmp_path: Path) -> None:
    recipe = RECIPE.override({"eval_every": 3}).override(TABLES)
    run = go(tiny, tmp_path / "run", "scratch", recipe=recipe)
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert Counter(row["domain"] for row in rows) == {"apples": 1, "boats": 3, "towers": 4}
    validated = [(row["domain"], row["epoch"]) for row in rows if "val_accuracy" in row]
    assert validated == [("apples", 1), ("boats", 3), ("towers", 3), ("towers", 4)]
    alone = go(tiny, tmp_path / "alone", "scratch", recipe=recipe.for_domain("towers"), domains=("towers",))
    assert digests(alone)["domains/towers.safetensors"] == digests(run)["domains/towers.safetensors"]


@pytest.mark.parametrize("kill_at", [slow(2), slow(3), 5, slow(15), slow(22)])
def test_a_run_with_epochs_a_domain_resumes_to_the_same_bits(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    recipe = RECIPE.override(TABLES)
    whole = go(tiny, tmp_path / "whole", "parallel", recipe=recipe)
    with dying_at(monkeypatch, kill_at):
        go(tiny, tmp_path / "killed", "parallel", recipe=recipe)
    assert digests(resume(tmp_path / "killed", None, TrainingProgress())) == digests(whole)


@pytest.mark.parametrize(("method", "regime"), [("bn", None), ("mtan", "frozen")])
@pytest.mark.parametrize("field", ["epochs", "lr"])
def test_domains_that_train_together_have_one_length_and_one_rate(
    tiny: Path, tmp_path: Path, method: str, regime: Any, field: str
) -> None:
    recipe = RECIPE.override({"domains": {"boats": {field: 1}}})
    with pytest.raises(UsageError, match=f"boats cannot have its own {field} .* for all with --{field}"):
        go(tiny, tmp_path / "run", method, regime=regime, recipe=recipe)
    assert not (tmp_path / "run").exists()
    alone = go(tiny, tmp_path / "alone", method, regime=regime, recipe=recipe, domains=("boats",))
    assert alone.trained_domains(alone.read()) == ["boats"]


def test_a_misspelled_table_is_remarked_on(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("Boat", "twers", "towers", "towers2", "power", "vgg-flowers")
    tables = {name: {"weight_decay": 0.0} for name in names}
    go(tiny, tmp_path / "run", recipe=RECIPE.override({"epochs": 1, "domains": tables}))
    output = capsys.readouterr().err
    assert "options for Boat, which is not in the file. Did you mean boats?" in output.replace("\n", " ")
    assert "options for twers, which is not in the file. Did you mean towers?" in output.replace("\n", " ")
    assert output.count("options for") == 2


def test_another_size_takes_side_and_evaluation_with_it() -> None:
    """Otherwise `--recipe mtan --size 32` would cut 32 pixels out of images of 72."""
    assert find_recipe("mtan").override({"size": 32}).resize == 36
    small = find_recipe("spottune").override({"size": 32})
    assert small.eval_cut == 32 and small.for_domain("gtsrb").size == 32
    assert find_recipe("mtan").override({"size": 32, "side": 40}).resize == 40


def test_a_domain_may_have_a_size_of_its_own_and_evaluation_another(tiny: Path, tmp_path: Path) -> None:
    own = {"boats": {"size": 24, "side": 24, "augment": False}}
    recipe = RECIPE.override({"epochs": 1, "eval_size": 18, "domains": own})
    run = go(tiny, tmp_path / "run", recipe=recipe)
    predict_run(run, tiny, "test", tmp_path / "results.json", "cpu")
    protocol = read_results(tmp_path / "results.json").protocol
    assert protocol is not None and protocol["eval_size"] == 18 and protocol["size"] == 16
    assert protocol["own"] == "size of boats and side of boats and augment of boats"


def test_options_that_come_to_the_same_are_no_domains_own(tiny: Path, tmp_path: Path) -> None:
    own = {"boats": {"side": 18, "eval_size": 16}}
    run = go(tiny, tmp_path / "run", recipe=RECIPE.override({"epochs": 1, "domains": own}))
    predict_run(run, tiny, "test", tmp_path / "results.json", "cpu")
    protocol = read_results(tmp_path / "results.json").protocol
    assert protocol is not None and "own" not in protocol


def test_a_size_for_evaluation_is_no_smaller_than_one_for_training_may_be() -> None:
    with pytest.raises(UsageError, match="eval_size is 7, it must be 0 or at least 8"):
        Recipe(eval_size=7)


@pytest.mark.parametrize("values", [{"eval_size": 99, "side": 80}, {"domains": {"a": {"eval_size": 99}}}])
def test_images_are_at_least_as_large_as_what_is_cut_from_them(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is smaller than eval_size 99"):
        Recipe().override(values)


def test_norms_and_biases_decay_where_the_recipe_says_so() -> None:
    made = find_method("bn")(build("wrn-10-1"))
    net = DomainNetwork(made.network(made.trunk, "boats"), made.trunk.features, 3)
    for decay_norms, wanted in ((False, {0.0, 0.5}), (True, {0.5})):
        recipe = Recipe(weight_decay=0.5, decay_norms=decay_norms)
        found = groups(made.trunk, nn.ModuleDict(), {"boats": net}, recipe)
        assert {group["weight_decay"] for group in found} == wanted
