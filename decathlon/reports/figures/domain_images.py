"""Contact sheets of a domain: its images as stored, and as training crops them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from decathlon.config.recipe import Recipe
from decathlon.data.domains import Domain
from decathlon.data.image_pool import ImagePool, fit
from decathlon.data.packed_file import PackedFile
from decathlon.reports.figures.contact_sheet import Tile, draw, enlarged
from decathlon.reports.figures.lettering import readable
from decathlon.system.text import several

DRAWS = 3  # crops of each image
MEASURED = 256  # images that mean and deviation are measured on


class AugmentedSheet(NamedTuple):
    """A sheet of a network's input, and mean and deviation per channel of the normalised values."""

    sheet: bytes
    mean: list[float]
    std: list[float]


@dataclass(frozen=True)
class View:
    """One split of a packed domain, for reading some of its images; `labels` are those of the whole split."""

    packed: PackedFile
    domain: Domain
    split: str
    labels: npt.NDArray[np.int32]
    seed: int

    def choose(self, number: int) -> list[int]:
        """Return the positions of at most `number` images."""
        return choose(self.labels, number, (self.seed, self.domain.index, *self.split.encode()))

    def images(self, places: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the images at some positions."""
        return self.packed.images_at(self.domain.name, self.split, places)

    def captions(self, places: Sequence[int]) -> list[str]:
        """Return the class of every image, or its id when the class is unknown."""
        ids, labels = self.packed.column(self.domain.name, self.split, "image_id"), self.labels
        return [readable(self.domain.categories[labels[i]]) if labels[i] >= 0 else f"id {ids[i]}" for i in places]


def contact(view: View, number: int) -> bytes:
    """Return a sheet of at most `number` images as stored."""
    places = view.choose(number)
    pairs = zip(view.images(places), view.captions(places), strict=True)
    tiles = [_tile([image], caption) for image, caption in pairs]
    classes = len({int(view.labels[i]) for i in places} - {-1})
    note = f"{len(places)} of {len(view.labels):,} images, "
    note += f"{classes} of {len(view.domain.categories):,} classes" if classes else "without labels"
    return draw(f"{view.domain.name}, {view.split}", [note], tiles)


def augmented(view: View, number: int, recipe: Recipe) -> AugmentedSheet:
    """Return a sheet of at most `number` images, each as stored and in crops as in training with `recipe`.

    The crops are those of an `ImagePool`, denormalised.
    """
    facts, recipe = recipe.facts(view.domain), recipe.for_domain(view.domain.name)
    places = view.choose(max(number, MEASURED))
    fitted = (fit(image, facts.crop, recipe.resize, facts.mean) for image in view.images(places))
    pool = ImagePool(facts, fitted, torch.from_numpy(view.labels[places].astype(np.int64)), places, recipe.size)
    seed = ("look", view.seed, facts.name) if recipe.augment else None
    batch = pool.batch(torch.arange(len(places)).repeat_interleave(DRAWS), seed=seed)
    scale, shift = (torch.tensor(values).view(3, 1, 1) for values in (facts.std, facts.mean))
    pixels = ((batch * scale + shift) * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    crops = pixels.numpy().reshape(len(places), DRAWS, recipe.size, recipe.size, 3)
    few = view.choose(number)
    shown = zip(view.images(few), crops[[places.index(i) for i in few]], view.captions(few), strict=True)
    tiles = [_tile([image, *cuts], caption) for image, cuts, caption in shown]
    mean, std = batch.mean((0, 2, 3)).tolist(), batch.std((0, 2, 3), correction=0).tolist()
    title = f"{facts.name}, {view.split}: as stored, and {DRAWS} times as training sees it"
    means, stds = (" ".join(f"{value:z.2f}" for value in values) for values in (mean, std))
    measured = f"crops of {several(len(places), 'image')}, normalised: mean {means}, deviation {stds} in R G B"
    notes = [_how(facts, recipe), f"{measured} (right: about 0 and 1)"]
    return AugmentedSheet(draw(title, notes, tiles), mean, std)


def _tile(images: Sequence[npt.NDArray[np.uint8]], caption: str) -> Tile:
    return Tile(tuple(enlarged(Image.fromarray(image)) for image in images), caption)


def _how(facts: Domain, recipe: Recipe) -> str:
    kept = {
        "crop": f"the shorter side becomes {recipe.resize} pixels",
        "squash": f"squashed to {recipe.resize} x {recipe.resize} pixels",
        "full": f"the longer side becomes {recipe.resize} pixels, bars fill the square",
    }[facts.crop]
    place = "anywhere" if recipe.augment else "from the centre"
    mirrored = "mirrored at random" if recipe.augment and facts.flip else "never mirrored"
    return f"{kept}; {recipe.size} x {recipe.size} are cropped {place}; {mirrored}"


def choose(labels: npt.NDArray[np.int32], number: int, key: tuple[int, ...]) -> list[int]:
    """Return at most `number` positions in a split, by class and then in order.

    One image of every class comes before the second of any; a smaller number gives a part of a larger one.
    """
    order = np.random.Generator(np.random.PCG64(key)).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, begins, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    turn = np.empty(len(labels), np.int64)  # 0 for the image drawn first of its class, 1 for the second
    turn[by_class] = np.arange(len(labels)) - np.repeat(begins, counts)
    chosen = order[np.argsort(turn[order], kind="stable")][:number]
    return [int(place) for place in chosen[np.lexsort((chosen, labels[chosen]))]]
