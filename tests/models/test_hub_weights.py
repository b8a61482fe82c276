"""Pretrained weights come as safetensors or not at all, from a hub, its cache, or not within seconds."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from decathlon.errors import DataError, DecathlonError, UsageError
from decathlon.models.trunks.registry import build
from decathlon.models.trunks.timm import TimmTrunk
from tests.helpers import web_server
from tests.helpers.web_server import Page, Server

MODEL = "test_resnet.r160_in1k"  # the smallest of timm's models
REPOSITORY = f"timm/{MODEL}"
COMMIT = "0" * 40


class Bomb:
    """A pickle that runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (7,)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A hub on this machine, an empty cache, and a torch whose own protection is turned off."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with web_server.serving() as server:
        lacks = web_server.status(404, X_Error_Code="EntryNotFound")
        server.pages[f"/{REPOSITORY}/resolve/main/model.safetensors"] = Page(b"", faults=[lacks] * 9)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url(""))
        template = server.url("/{repo_id}/resolve/{revision}/{filename}")
        for module in (huggingface_hub.constants, huggingface_hub.file_download):
            monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        yield server


def offer(hub: Server, name: str, body: bytes) -> None:
    page = Page(body, version={"ETag": f'"{name}"', "X-Repo-Commit": COMMIT}, ranges=False)
    hub.pages[f"/{REPOSITORY}/resolve/main/{name}"] = page


def cached(folder: Path, name: str, body: bytes) -> None:
    """Put a file where the hub's library keeps those it has downloaded."""
    place = folder / "hub" / f"models--{REPOSITORY.replace('/', '--')}"
    (place / "snapshots" / COMMIT).mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    (place / "snapshots" / COMMIT / name).write_bytes(body)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the hub holds: all weights of the model, each of them a half."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    state = timm.create_model(MODEL.partition(".")[0]).state_dict()
    save_file(
        {name: torch.full_like(each, 0.5 if each.is_floating_point() else 0) for name, each in state.items()}, path
    )
    return path.read_bytes()


def first(trunk: torch.nn.Module) -> float:
    return float(next(trunk.parameters()).detach().flatten()[0])


def test_weights_are_fetched_once_as_safetensors(hub: Server, weights: bytes) -> None:
    offer(hub, "model.safetensors", weights)
    offer(hub, "pytorch_model.bin", pickle.dumps(Bomb()))
    assert first(build(f"timm:{MODEL}")) == 0.5
    asked = len(hub.asked)
    assert first(build(f"timm:{MODEL}")) == 0.5 and len(hub.asked) == asked


def test_weights_in_the_cache_need_no_hub(hub: Server, weights: bytes, tmp_path: Path) -> None:
    cached(tmp_path, "model.safetensors", weights)
    assert first(build(f"timm:{MODEL}")) == 0.5 and hub.asked == []


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "pytorch_model.pth", "model.pth", "open_clip_pytorch_model.bin"]
)
def test_a_pickle_in_the_repository_is_never_asked_for(hub: Server, name: str) -> None:
    offer(hub, name, pickle.dumps(Bomb()))
    with pytest.raises(UsageError, match=f"timm:{MODEL} are published as pickle alone"):
        build(f"timm:{MODEL}")
    assert not any(path.endswith(name) for path, _ in hub.asked)


def test_a_pickle_in_the_cache_is_not_read(hub: Server, tmp_path: Path) -> None:
    cached(tmp_path, "pytorch_model.bin", pickle.dumps(Bomb()))
    with pytest.raises(UsageError, match="published as pickle alone"):
        build(f"timm:{MODEL}")


def test_a_pickle_under_the_name_of_safetensors_is_not_read(hub: Server, tmp_path: Path) -> None:
    cached(tmp_path, "model.safetensors", pickle.dumps(Bomb()))
    with pytest.raises(
        DataError, match=r"model.safetensors does not hold the weights of timm:.* Remove it to fetch it"
    ):
        build(f"timm:{MODEL}")


def test_a_file_that_lacks_a_weight_leaves_nothing_random(hub: Server, tmp_path: Path) -> None:
    other = timm.create_model("test_resnet", num_classes=1000).state_dict()
    save_file({name: each for name, each in other.items() if name != "layer1.0.conv1.weight"}, tmp_path / "other")
    cached(tmp_path, "model.safetensors", (tmp_path / "other").read_bytes())
    with pytest.raises(DataError, match="does not hold the weights"):
        build(f"timm:{MODEL}")


def test_weights_behind_a_plain_link_are_pickle(hub: Server) -> None:
    with pytest.raises(UsageError, match="timm:legacy_seresnet18.in1k are published as pickle alone"):
        build("timm:legacy_seresnet18.in1k")


@pytest.mark.parametrize(
    "name", ["hf-hub:timm/resnet18", "hf_hub:timm/resnet18.a1_in1k", "local-dir:.", "resnet18.x:y"]
)
def test_no_name_leads_elsewhere(hub: Server, name: str) -> None:
    with pytest.raises(UsageError, match="unknown"):
        build(f"timm:{name}")
    assert hub.asked == []


@pytest.mark.parametrize("fault", ["closed", "broken", "hanging"])
def test_no_hub_is_one_sentence_within_seconds(
    hub: Server, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr("decathlon.models.trunks.hub.PATIENCE", 0.2)
    path = f"/{REPOSITORY}/resolve/main/model.safetensors"
    hub.pages[path] = Page(b"", faults=[web_server.hang() if fault == "hanging" else web_server.status(503)] * 9)
    if fault == "closed":
        template = "http://127.0.0.1:9/{repo_id}/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(DecathlonError, match="cannot be fetched") as end:
        build(f"timm:{MODEL}")
    folder = f"models--timm--{MODEL}"
    assert str(end.value).endswith(f"copy {folder} from its cache into {tmp_path / 'hub'}.") and "\n" not in str(
        end.value
    )
    assert time.monotonic() - begun < 3 and not caplog.get_records("call")


def test_every_pretrained_name_of_timm_reads_the_file_it_is_given() -> None:
    """The one place that decides where timm reads from: none of its names goes elsewhere."""
    from timm.models._builder import _resolve_pretrained_source, resolve_pretrained_cfg

    overlay = {"file": "x.safetensors", "source": "", "custom_load": False}
    for name in timm.list_pretrained():
        model, _, tag = name.partition(".")
        found = resolve_pretrained_cfg(model, tag, overlay).to_dict()  # type: ignore[no-untyped-call]
        assert _resolve_pretrained_source(found) == ("file", "x.safetensors") and not found["custom_load"]


def test_a_cache_that_is_no_folder_is_one_sentence(
    hub: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "file" / "token"))
    with pytest.raises(DecathlonError) as end:
        build(f"timm:{MODEL}")
    problem = f"cannot look for the weights of timm:{MODEL} in {tmp_path / 'file' / 'hub'} (Not a directory)"
    assert str(end.value) == f"{problem}. Set HF_HOME to a folder of yours."


@pytest.mark.parametrize("empty", [False, True])
def test_an_unknown_tag_names_the_nearest_whether_weights_are_read_or_not(hub: Server, empty: bool) -> None:
    with pytest.raises(
        UsageError, match=r"^unknown weights 'timm:resnet18.nonsense'. Did you mean timm:resnet18\."
    ):
        build("timm:resnet18.nonsense", empty)


def test_an_unknown_model_shows_few_of_the_many() -> None:
    with pytest.raises(UsageError, match=r"^unknown timm model 'qqqqqqqq'. Choose one of 1,\d{3}, such as") as end:
        build("timm:qqqqqqqq")
    assert len(str(end.value)) < 200


def test_random_weights_ask_nobody(hub: Server) -> None:
    assert TimmTrunk(MODEL, pretrained=False).fresh() and TimmTrunk("test_resnet") and hub.asked == []
