"""A benchmark's facts as JSON: read back unchanged, or refused with the file and the place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.data.domains import Benchmark, Category, refuse_name
from decathlon.errors import DataError
from decathlon.inference.predict import predict_run
from decathlon.system.strict_json import dump_json, parse_json
from tests.helpers.packs import TINY, write_pack, write_truth
from tests.helpers.runs import go


def facts() -> Any:
    return parse_json(dump_json(TINY.to_json()).encode(), "facts")


def test_a_benchmark_comes_back_from_json() -> None:
    assert Benchmark.from_json(facts(), "facts") == TINY


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("name", None, "name is null, not text"),
        ("index", 0, "index is 0, not a whole number 1 to 1e\\+11"),
        ("index", True, "index is true, not"),
        ("index", 2.5, "index is 2.5, not"),
        ("categories", [{"id": "1", "name": "x"}], r"categories\[0\].id is '1', not a whole number"),
        ("categories", [{"id": 1}], r"categories\[0\].name is missing"),
        ("categories", {}, "categories is an object, not a list"),
        ("mean", [0.5, 0.5], "mean is a list, not three numbers from 0 to 1"),
        ("mean", [0.5, 0.5, float("nan")], "mean is a list, not three"),
        ("std", [0.5, 0, 0.5], "std is a list, not three numbers above 0, at most 1"),
        ("flip", 1, "flip is 1, not true or false"),
        ("crop", "round", "crop is 'round', not 'crop' or 'squash' or 'full'"),
        ("baseline_error", 1.5, "baseline_error is 1.5, not a number 0 to 1 or null"),
    ],
)
def test_a_wrong_fact_is_refused_with_its_place(key: str, value: object, fault: str) -> None:
    document = facts()
    document["domains"][1][key] = value
    with pytest.raises(DataError, match=rf"facts does not describe a benchmark \(domains\[1\].{fault}"):
        Benchmark.from_json(document, "facts")
    if key not in ("flip", "crop", "baseline_error"):
        del document["domains"][1][key]
        with pytest.raises(DataError, match=rf"domains\[1\].{key} is missing"):
            Benchmark.from_json(document, "facts")


def test_two_domains_of_one_name_are_refused() -> None:
    document = facts()
    document["domains"][1]["name"] = document["domains"][0]["name"]
    with pytest.raises(DataError, match="facts: there are two domains apples. Rename one of them"):
        Benchmark.from_json(document, "facts")
    with pytest.raises(DataError, match="the whole is a list"):
        Benchmark.from_json([], "facts")


def test_a_category_id_stands_for_one_class() -> None:
    document = facts()
    document["domains"][1]["categories"][4]["id"] = document["domains"][1]["categories"][0]["id"]
    with pytest.raises(DataError, match="facts: boats has the category id 20000001 twice. Give every"):
        Benchmark.from_json(document, "facts")
    document["domains"][1]["categories"][4]["id"] = document["domains"][0]["categories"][0]["id"]
    with pytest.raises(DataError, match="facts: the category id 10000001 is in both apples and boats. Number one"):
        Benchmark.from_json(document, "facts")


@pytest.mark.parametrize(("name", "length"), [("a" * 240, 240), ("é" * 91, 182), ("日" * 80, 240)])
def test_a_domain_name_must_fit_the_names_of_files(name: str, length: int) -> None:
    with pytest.raises(DataError, match=f"'{name[:20]}' has {length} bytes, the limit is 180, for"):
        refuse_name(name)
    document = facts()
    document["domains"][1]["name"] = name
    with pytest.raises(DataError, match="facts: the domain name that begins with"):
        Benchmark.from_json(document, "facts")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a" * 180, "é" * 90])
def test_the_longest_name_can_be_trained_predicted_and_scored(tmp_path: Path, name: str) -> None:
    benchmark = replace(TINY, domains=(replace(TINY["apples"], name=name),))
    data = write_pack(tmp_path / "x.h5", benchmark)
    run = go(data, tmp_path / "run")
    predict_run(run, data, "test", run.folder / "results.json")
    write_truth(tmp_path / "truth", benchmark)
    assert (
        CliRunner().invoke(command, ["score", str(run.folder), "--truth", str(tmp_path / "truth")]).exit_code == 0
    )
    for words in ("verify RUN", "data show FILE -o OUT", "data export FILE -o IMAGES"):
        places = {"FILE": data, "RUN": run.folder, "OUT": tmp_path / "out", "IMAGES": tmp_path / "images"}
        outcome = CliRunner().invoke(command, [str(places.get(word, word)) for word in words.split()])
        assert outcome.exit_code == 0, outcome


def test_names_of_a_page_are_refused() -> None:
    with pytest.raises(DataError, match="'xxxxxxxxxxxxxxxxxxxx' has 100,000 characters, the limit is 1,000. S"):
        Category(1, "x" * 100_000)
    assert Category(1, "x" * 1000) and replace(TINY, baseline="x" * 1000)
    for long in ({"name": "x" * 1001}, {"baseline": "x" * 1001}):
        changed: Any = long
        with pytest.raises(DataError, match="that begins with 'x{20}' has 1,001 characters"):
            replace(TINY, **changed)
    with pytest.raises(DataError, match="there are 1,001 domains, the limit is 1,000"):
        Benchmark("many", tuple(replace(TINY["apples"], name=f"d{i}", categories=()) for i in range(1001)))
