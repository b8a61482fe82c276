"""A benchmark's facts as JSON: read back unchanged, or refused with the file and the place."""

from __future__ import annotations

from typing import Any

import pytest

from decathlon.data.domains import Benchmark
from decathlon.errors import DataError
from decathlon.system.strict_json import dump_json, parse_json
from tests.helpers.packs import TINY


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
