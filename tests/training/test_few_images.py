"""Domains with hardly an image, or with one more than fills the batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from decathlon.data.image_pool import ImagePool, load_pool
from decathlon.data.packed_file import PackedFile
from decathlon.errors import DivergedError, UsageError
from decathlon.inference.evaluate import BATCH, predict
from decathlon.inference.predict import predict_run
from decathlon.models.multi_domain_model import DomainNetwork
from decathlon.runs.loading import load
from decathlon.runs.run_directory import Run
from tests.helpers.packs import TINY, write_pack
from tests.helpers.runs import RECIPE, go

ONE_EPOCH = RECIPE.override({"epochs": 1})


@pytest.mark.parametrize("method", ["bn", "scratch", "mtan", "parallel"])
def test_a_domain_of_one_image_trains_beside_others_and_is_predicted(tmp_path: Path, method: str) -> None:
    data = write_pack(tmp_path / "one.h5", counts={"train": 1, "val": 1, "test": 1})
    run = go(data, tmp_path / "run", method, recipe=ONE_EPOCH)
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert {row["domain"] for row in rows} == set(TINY.names)
    assert all(0 <= row["val_accuracy"] <= 1 for row in rows)
    assert predict_run(run, data, "test", tmp_path / "results.json") == dict.fromkeys(TINY.names, 1)
    assert len(json.loads((tmp_path / "results.json").read_text())) == 3


@pytest.mark.parametrize("images", [1, 7, 8, 9, 17])
def test_no_batch_is_left_short_and_no_image_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    """With one image over, a batch goes on with the next pass: batch norm never sees a batch of one."""
    data = write_pack(tmp_path / "few.h5", counts={"train": images, "val": 1, "test": 1})
    seen: list[list[int]] = []
    real = ImagePool.batch

    def watched(pool: ImagePool, index: torch.Tensor, **options: Any) -> torch.Tensor:
        if options.get("seed"):
            seen.append(index.tolist())
        return real(pool, index, **options)

    monkeypatch.setattr(ImagePool, "batch", watched)
    go(data, tmp_path / "run", recipe=ONE_EPOCH, domains=("apples",))
    assert [len(batch) for batch in seen] == [8] * -(-images // 8)
    assert set(sum(seen, [])) == set(range(images))


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return go(tiny, tmp_path_factory.mktemp("few") / "run", recipe=ONE_EPOCH, domains=("apples",))


def network_and_pool(run: Run, data: Path) -> tuple[DomainNetwork, ImagePool]:
    with PackedFile(data) as packed:
        pool = load_pool(packed, TINY["apples"], ("test",), 16, 18)
    return load(run, run.read(), torch.device("cpu")).model.networks["apples"], pool


def test_one_image_more_than_a_batch_is_predicted_as_in_any_other(trained: Run, tmp_path: Path) -> None:
    data = write_pack(tmp_path / "many.h5", counts={"train": 1, "val": 1, "test": BATCH + 1})
    network, pool = network_and_pool(trained, data)
    logits = predict(network, pool, bf16=False)
    alone = network(pool.batch(torch.tensor([BATCH])))
    assert len(logits) == BATCH + 1
    torch.testing.assert_close(logits[BATCH:], alone.detach())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_refused(trained: Run, tiny: Path, value: float) -> None:
    """The largest of NaNs would be class 0, without a word."""
    network, pool = network_and_pool(trained, tiny)
    with torch.no_grad():
        next(network.head.parameters()).fill_(value)
    with pytest.raises(DivergedError, match="^the network of apples predicts NaN or infinity. Train it again.$"):
        predict(network, pool, bf16=False)


def test_an_epoch_without_a_batch_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    data = write_pack(tmp_path / "none.h5", counts={"val": 3, "test": 3})
    with pytest.raises(UsageError, match="none.h5 has no train images of apples. Leave the domain out.$"):
        go(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
