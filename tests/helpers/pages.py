"""README and docs/ as text, and what stands in for the benchmark and the recipe they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from decathlon.config.recipe import Recipe
from decathlon.config.recipe_files import find_recipe
from decathlon.data_prep.synth.table import TABLE
from tests.helpers.house import ROOT

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in ROOT.glob("docs/*.md")}
PAGES |= {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What a block is, by its language or its first word; a block of another kind is run by no test.
LANGUAGES = {"python": "python", "toml": "toml", "mermaid": "picture"}
FIRST_WORDS = {"decathlon": "commands", "export": "commands", "$": "session", "name": "table", "make": "make"}

# A benchmark and a recipe as small as they can be, in place of those that pages name.
SMALL = tuple(replace(each, train=20, val=10, test=10) for each in TABLE if each.name in ("digits", "toys"))


def small_recipe(name: str) -> Recipe:
    """Return one epoch of the recipe of this name."""
    return replace(find_recipe(name), epochs=1, batch=8, precision="fp32")


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the text of every block of a page; the kind of a block that no test runs is empty."""
    for language, text in FENCE.findall(PAGES[page]):
        yield LANGUAGES.get(language, "") if language else FIRST_WORDS.get(text.split()[0], ""), text


def typed(page: str) -> list[str]:
    """Return the commands of a page, in order, but for those that a session shows with their output."""
    text = "".join(text for kind, text in blocks(page) if kind == "commands")
    return [line for line in text.splitlines() if line.startswith("decathlon ")]
