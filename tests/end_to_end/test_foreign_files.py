"""Files from outside, mutated: `decathlon score` and recipes refuse them in a sentence or say what is in them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from decathlon.cli.main import command
from decathlon.config.recipe import Recipe
from decathlon.config.recipe_files import recipe_text
from tests.helpers.forked import REFUSED, forked, judged
from tests.helpers.mutations import mutate
from tests.helpers.packs import TINY, write_truth

COUNTS = [50, pytest.param(1000, marks=pytest.mark.slow)]
LONG = 3000  # characters: results are told what is wrong in a list, ten offenders of each kind
Rows = list[dict[str, Any]]


def printed(*words: object) -> str:
    """Return what a command prints; raise what it raises."""
    outcome = CliRunner().invoke(command, list(map(str, words)))
    if outcome.exception:
        raise outcome.exception
    return outcome.stdout


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_truth(tmp_path_factory.mktemp("truth"))


def answers_in(truth: Path) -> dict[str, dict[int, int]]:
    """Return the true category of every image by domain, read without this project's code."""
    told = {name: json.loads((truth / f"{name}_test.json").read_text()) for name in TINY.names}
    return {
        name: {entry["image_id"]: entry["category_id"] for entry in data["annotations"]}
        for name, data in told.items()
    }


def perfect(truth: Path) -> Rows:
    answers = answers_in(truth)
    return [{"image_id": i, "category_id": c} for name in TINY.names for i, c in answers[name].items()]


def expected(text: bytes, truth: Path) -> dict[str, float] | None:
    """Return the accuracies that results earn, None where they must be refused; counted on its own."""
    try:
        rows = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
        pairs = [(row["image_id"], row["category_id"]) for row in rows]
        told, answers = dict(pairs), answers_in(truth)
    except (ValueError, KeyError, TypeError, RecursionError, UnicodeError):
        return None
    whole = all(type(value) is int for pair in pairs for value in pair) and isinstance(rows, list)
    wanted = {image for domain in answers.values() for image in domain}
    whole = whole and len(told) == len(pairs) and told.keys() == wanted
    own = {name: set(TINY[name].category_ids) for name in TINY.names}
    whole = whole and all(told[image] in own[name] for name in answers for image in answers[name])
    if not whole:
        return None
    return {
        name: sum(told[image] == category for image, category in domain.items()) / len(domain)
        for name, domain in answers.items()
    }


def _refuse(name: str) -> None:
    raise ValueError(name)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("twice")
    return dict(pairs)


def change_rows(rows: Rows, seed: int) -> bytes:
    """Return results in which something is different that a program which writes results may get wrong."""
    chance, rows = random.Random(seed), copy.deepcopy(rows)
    row, other = chance.sample(rows, 2)
    image, category = row["image_id"], row["category_id"]
    kinds: list[Callable[[], object]] = [
        lambda: rows.remove(other),
        lambda: rows.append(dict(row)),
        lambda: row.update(image_id=other["image_id"]),
        lambda: row.update(image_id=image + chance.choice((-1, 1, 10**7))),
        lambda: row.update(category_id=other["category_id"]),
        lambda: row.update(category_id=category + chance.choice((-1, 1))),
        lambda: row.update(category_id=chance.choice((1.0 * category, True, None, "1", [1], 10**300))),
        lambda: row.update(image_id=chance.choice((1.0 * image, False, None, str(image), {}))),
        lambda: row.pop(chance.choice(("image_id", "category_id")), None),
        lambda: chance.shuffle(rows),
        lambda: row.update(score=0.5),
    ]
    for change in chance.sample(kinds, chance.choice((1, 1, 2))):
        change()
    return json.dumps(rows).encode()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("damage", [mutate, change_rows])
def test_mutated_results_are_refused_or_scored_right(
    truth: Path, tmp_path: Path, damage: Callable[[Any, int], bytes], count: int
) -> None:
    """What is scored has every image once, with a category of its domain, and earns what was counted here."""
    path, rows = tmp_path / "results.json", perfect(truth)

    def use(seed: int | None) -> str:
        path.write_bytes(damage(rows, seed) if seed is not None else json.dumps(rows).encode())
        right = expected(path.read_bytes(), truth)

        def scored() -> str:
            domains = json.loads(printed("score", path, "--truth", truth, "--json"))["domains"]
            return "right" if {name: told["accuracy"] for name, told in domains.items()} == right else "wrong"

        found = judged(scored, longest=LONG)
        assert (found == REFUSED) == (right is None), (seed, right)
        return found

    came = forked([*range(count), None], use)  # the last is the negative control: nothing changed
    assert (
        came.words[-1] == "right" and came.counts.keys() <= {REFUSED, "right"} and came.counts[REFUSED] > count / 2
    )
    assert came.counts["right"] > 1 or damage is mutate  # which never hits a category of the domain
    assert came.memory < 200 << 20


ROW = '{{"image_id": {}, "category_id": {}}}'
EXPLICIT = {
    "empty": "", "empty list": "[]", "no list": '{"a": []}', "number": "7", "text": '"x"',
    "float": f"[{ROW.format('1.0', 1)}]", "bool": f"[{ROW.format(1, 'true')}]", "NaN": f"[{ROW.format('NaN', 1)}]",
    "Infinity": f"[{ROW.format(1, '-Infinity')}]", "1e400": f"[{ROW.format('1e400', 1)}]",
    "5000 digits": f"[{ROW.format('9' * 5000, 1)}]", "4000 digits": f"[{ROW.format('9' * 4000, 1)}]",
    "bomb": "[" * 10**6, "bomb of objects": '{"a":' * 10**6, "bomb in a row": ROW.format(1, "[" * 900 + "]" * 900),
    "duplicate keys": '[{"image_id": 1, "image_id": 1, "category_id": 1}]', "cut": "[" + ROW.format(1, 1),
    "not Unicode": '["\\ud800"]', "zero byte": f"[{ROW.format(1, 1)}\0]", "foreign": f"[{ROW.format(1, 1)}]",
    "400,000 foreign rows": "[" + ",".join(ROW.format(i, 1) for i in range(400_000)) + "]",
    "400,000 equal rows": "[" + ",".join([ROW.format(10000034, 10000001)] * 400_000) + "]",
    "400,000 odd rows": "[" + ",".join(["null"] * 400_000) + "]",
}  # fmt: skip


@pytest.mark.parametrize("partial", [(), pytest.param(("--partial",), marks=pytest.mark.slow)])
def test_what_is_no_answer_is_never_scored(truth: Path, tmp_path: Path, partial: tuple[str, ...]) -> None:
    path = tmp_path / "results.json"

    def use(kind: str) -> str:
        path.write_text(EXPLICIT[kind])
        return judged(lambda: printed("score", path, "--truth", truth, *partial), longest=LONG)

    came = forked(EXPLICIT, use)
    assert came.counts == {REFUSED: len(EXPLICIT)}
    assert came.memory < 700 << 20


@pytest.mark.parametrize("count", COUNTS)
def test_mutated_ground_truth_is_refused_or_scored_against(truth: Path, tmp_path: Path, count: int) -> None:
    rows, path = perfect(truth), tmp_path / "results.json"
    path.write_text(json.dumps(rows))
    folder = write_truth(tmp_path / "truth")
    file = folder / "boats_test.json"
    whole = json.loads(file.read_text())

    def use(seed: int | None) -> str:
        file.write_bytes(mutate(whole, seed) if seed is not None else json.dumps(whole).encode())

        def scored() -> str:
            domains = json.loads(printed("score", path, "--truth", folder, "--json"))["domains"]
            told = {
                entry["image_id"]: entry["category_id"] for entry in json.loads(file.read_bytes())["annotations"]
            }
            correct = sum(told.get(row["image_id"]) == row["category_id"] for row in rows)
            return "right" if domains["boats"]["accuracy"] == correct / len(told) else "wrong"

        return judged(scored, longest=LONG)

    came = forked([*range(count), None], use)  # the last is the negative control: nothing changed
    assert (
        came.words[-1] == "right" and came.counts.keys() <= {REFUSED, "right"} and came.counts[REFUSED] > count / 4
    )
    assert came.memory < 200 << 20


ODD = (
    "nan", "-inf", "1e400", "true", '"x"', '""', "[]", "[1]", "{}", "{x = 1}", "-1", "0", "1e308", "2.5", "9" * 400,
    "0x7fffffffffffffffff", "1979-05-27", "[" * 2000 + "]" * 2000, '"""a\nb"""', "'..'", "[[0.5], [nan]]", "= 3",
    "{base = {base = 1}}", '"\\uD800"', "''",
)  # fmt: skip


def change_toml(text: str, seed: int) -> bytes:
    """Return a recipe with some values replaced, lines moved, or bytes that are no TOML."""
    chance, lines = random.Random(seed), text.splitlines()
    for _ in range(chance.choice((1, 1, 2, 3))):
        i, j = chance.randrange(len(lines)), chance.randrange(len(lines))
        key = lines[i].partition(" =")[0]
        changed = (
            f"{key} = {chance.choice(ODD)}", f"{key} = {chance.choice(ODD)}", lines[j], f"{lines[i]}\n{lines[j]}",
            f"[{key}]", f"[[{key}]]", f"[domains.{key}]\nlr = {chance.choice(ODD)}", f"base = {chance.choice(ODD)}",
            f"domains = {chance.choice(ODD)}", f"{key}.{key} = 1", lines[i][: chance.randrange(len(lines[i]) + 1)],
        )  # fmt: skip
        lines[i] = chance.choice(changed)
    data = bytearray("\n".join(lines).encode())
    if chance.random() < 0.2:
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("count", COUNTS)
def test_mutated_recipes_are_refused_or_shown(tmp_path: Path, count: int) -> None:
    """A recipe that is taken is shown again as one that means the same."""
    path = tmp_path / "x.toml"
    text = recipe_text(Recipe().override({"domains": {"apples": {"lr": 0.5}, "boats": {"epochs": 3}}}))

    def use(seed: int | None) -> str:
        path.write_bytes(change_toml(text, seed) if seed is not None else text.encode())

        def shown() -> str:
            told = printed("recipes", path)
            path.write_text(told)
            return "same" if printed("recipes", path) == told else "another"

        return judged(shown)

    came = forked([*range(count), None], use)  # the last is the negative control: nothing changed
    assert came.words[-1] == "same" and came.counts.keys() <= {REFUSED, "same"} and came.counts[REFUSED] > count / 4
    assert came.memory < 200 << 20
