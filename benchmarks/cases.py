"""What the speed benchmark times: real steps of the toolkit on random pixels."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.timing import Case
from decathlon.config.recipe import Recipe
from decathlon.data.decoding import decode
from decathlon.data.domains import Category, Domain
from decathlon.data.image_pool import ImagePool
from decathlon.inference.merging import merge
from decathlon.inference.serving import merge_all, predict_all
from decathlon.models.method import Regime
from decathlon.models.multi_domain_model import MultiDomainModel
from decathlon.models.registry import find_method
from decathlon.models.trunks.registry import build
from decathlon.system.device import autocast, use_bf16
from decathlon.training.forward import Forward, Gradients, plain_forward
from decathlon.training.trainer import Trainer

CLASSES = 100


@dataclass(frozen=True)
class Setting:
    """Where and how large: images of `size` pixels in batches of `batch`."""

    device: torch.device
    batch: int = 32
    size: int = 64
    images: int = 512  # in the pool of a domain

    @property
    def bf16(self) -> bool:
        """Whether this device computes in bf16."""
        return use_bf16("auto", self.device)


def domain(number: int) -> Domain:
    """Return a domain of random images."""
    categories = tuple(Category(number * 10**7 + k, str(k)) for k in range(1, CLASSES + 1))
    return Domain(f"domain{number}", number, categories, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), True, "crop", None)


def pool(setting: Setting, number: int = 1) -> ImagePool:
    """Return a pool of random images of 9/8 of the size, ragged in width."""
    rng = np.random.default_rng(number)
    side = setting.size * 9 // 8
    images = [rng.integers(0, 256, (side, side + 4 * (i % 4), 3), np.uint8) for i in range(setting.images)]
    labels = torch.from_numpy(rng.integers(0, CLASSES, setting.images))
    return ImagePool(domain(number), images, labels, list(range(setting.images)), setting.size, setting.device)


def model(method: str, trunk: str, setting: Setting, regime: Regime | None, domains: int = 1) -> MultiDomainModel:
    """Return a model with networks for `domains` domains."""
    torch.manual_seed(0)
    made = MultiDomainModel(find_method(method)(build(trunk), regime), 0, setting.device)
    for number in range(1, domains + 1):
        made.add(f"domain{number}", CLASSES)
    return made


def training(
    method: str, trunk: str, setting: Setting, regime: Regime | None = None, forward: Forward = plain_forward,
    cuda_graphs: bool = False,
) -> Case:  # fmt: skip
    """Return one optimizer step on one domain: batch, forward, backward, update.

    `forward` computes the logits; `cuda_graphs` says that it is replayed as CUDA graphs.
    """
    # the end of an epoch waits for the device: make it rare
    recipe = Recipe(
        epochs=10**5, epoch_batches=1000, batch=setting.batch, size=setting.size,
        warmup=0.0, schedule="constant", lr=1e-3,
    )  # fmt: skip
    made = model(method, trunk, setting, regime)
    trainer = Trainer(made, {"domain1": pool(setting)}, recipe, 0, setting.bf16)
    trainer.forward = forward
    trainer.gradients = Gradients() if cuda_graphs else None
    return Case(setting.batch, trainer.advance)


def batches(setting: Setting) -> Case:
    """Return the making of one augmented batch."""
    source = pool(setting)
    index = torch.arange(setting.batch, device=setting.device)
    numbers = iter(range(10**9))
    return Case(setting.batch, lambda: source.batch(index, seed=("speed", next(numbers))))


def decoding(setting: Setting) -> Case:
    """Return the decoding of JPEG images of 72 pixels, as `data prepare` decodes the challenge's."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(setting.batch):
        smooth = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((96, 72))
        smooth.save(file := io.BytesIO(), "JPEG", quality=90)
        files.append(file.getvalue())

    def run() -> None:
        for file in files:
            decode(file, "image", 72).tobytes()

    return Case(setting.batch, run)


def foreign(factory: str, setting: Setting) -> Case:
    """Return a training step of any module: MODULE:FACTORY, FACTORY(classes) -> images to logits, in fp32."""
    module, _, name = factory.partition(":")
    make: Callable[[int], nn.Module] = getattr(importlib.import_module(module), name)
    network = make(CLASSES).to(setting.device)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    images = torch.randn(setting.batch, 3, setting.size, setting.size, device=setting.device)
    labels = torch.randint(CLASSES, (setting.batch,), device=setting.device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return Case(setting.batch, step)


def prediction(method: str, trunk: str, setting: Setting, merged: bool = False) -> Case:
    """Return the prediction of a batch by one domain's network."""
    regime: Regime | None = "frozen" if "frozen" in find_method(method).regimes else None
    network: nn.Module = model(method, trunk, setting, regime).networks["domain1"].eval()
    plain = merge(network) if merged else network
    images = pool(setting).batch(torch.arange(setting.batch, device=setting.device))

    @torch.inference_mode()
    def run() -> None:
        with autocast(setting.device, setting.bf16):
            plain(images)

    return Case(setting.batch, run)


def ten(method: str, trunk: str, setting: Setting, together: bool, merged: bool = False) -> Case:
    """Return the prediction of a batch by ten domains' networks: together, or one after the other."""
    networks = model(method, trunk, setting, "frozen", domains=10).networks
    for network in networks.values():
        network.eval()
    networks = merge_all(networks) if merged else networks
    images = pool(setting).batch(torch.arange(setting.batch, device=setting.device))

    @torch.inference_mode()
    def run() -> None:
        with autocast(setting.device, setting.bf16):
            if together:
                predict_all(networks, images)
            else:
                for network in networks.values():
                    network(images)

    return Case(setting.batch, run)
