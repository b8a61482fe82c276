from __future__ import annotations

from pathlib import Path

import pytest

from decathlon import recipe_file
from decathlon.errors import UsageError
from decathlon.recipe import Recipe
from decathlon.recipe_file import find_recipe


def write(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.toml").write_text(text)
    return str(folder / f"{name}.toml")


def test_a_file_begins_from_a_built_in_recipe_and_that_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "first", "epochs = 5\nlr = 0.5")
    write(tmp_path, "second", 'base = "first"\nlr = 0.25')
    monkeypatch.setattr(recipe_file, "FOLDER", tmp_path)
    own = find_recipe(write(tmp_path, "own", 'base = "second"\nsize = 32'))
    expected = Recipe(epochs=5, lr=0.25, size=32)
    assert own == expected


def test_a_base_must_be_there_and_lead_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="unknown recipe 'comon': did you mean common"):
        find_recipe(write(tmp_path, "own", 'base = "comon"'))
    write(tmp_path, "hen", 'base = "egg"')
    write(tmp_path, "egg", 'base = "hen"')
    monkeypatch.setattr(recipe_file, "FOLDER", tmp_path)
    with pytest.raises(UsageError, match="begins from itself .hen from egg from hen."):
        find_recipe("hen")
