"""CONTRIBUTING.md: its example is a method that works, and hooks check what `make test` checks first."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from decathlon.errors import UsageError
from decathlon.inference.merging import merge
from decathlon.models import registry as methods
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.trunks.wide_resnet import WideResNet
from decathlon.system.plugins import Plugins

ROOT = Path(__file__).parents[1]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example as a file of its own."""
    text = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert text is not None
    file = tmp_path / "scale.py"
    file.write_text(text[1])
    return file


def test_the_example_is_a_method(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(example.parent))
    monkeypatch.setattr(Plugins, "names", lambda plugins: {"scale": "scale"})
    kind = methods.find_method("scale")
    assert kind.name() == "scale" and "--set power=1.0" in methods.explain("scale")
    with pytest.raises(UsageError, match="power is 9"):
        kind.choose({"power": 9})
    model = MultiDomainModel(kind(WideResNet(10, 1)), 0, torch.device("cpu"))
    network = model.add("apples", 3).eval()
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(network.body(images), model.trunk.eval()(images))
    torch.testing.assert_close(merge(network)(images), network(images), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_the_example_passes_the_type_checker(example: Path) -> None:
    words = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(example)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_before_a_commit_the_same_is_checked_as_by_make_test() -> None:
    hooks = re.findall(r"^ +entry: \.venv/bin/(.+)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    recipe = (ROOT / "Makefile").read_text().partition("\ntest: ")[2].partition("\nquick: ")[0]
    assert hooks == re.findall(r"^\t\$\(BIN\)/(.+)$", recipe, re.MULTILINE) and len(hooks) == 3
