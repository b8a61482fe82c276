"""What a micro-batch consists of: a function of the run's seed, the domain and the micro-batch's number."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from decathlon.config.recipe import Recipe
from decathlon.data.domain_sampling import sample
from decathlon.data.image_pool import ImagePool
from decathlon.system.seeding import seeded
from decathlon.training.augmentation import Augmentation, grown_size, resized


class Batches:
    """The micro-batches of some domains, numbered from the start of training; `networks` may have dropout."""

    def __init__(
        self, pools: dict[str, ImagePool], recipe: Recipe, seed: int, networks: Iterable[nn.Module]
    ) -> None:
        self.pools, self.recipe, self.seed = pools, recipe, seed
        self.augmentation = {name: Augmentation(recipe.for_domain(name), pools[name], seed) for name in pools}
        parts = (part for network in networks for part in network.modules())
        self._drops = any(isinstance(part, _DropoutNd) and part.p > 0 for part in parts)

    def sample(self, name: str, number: int) -> Tensor:
        """Return the places of a micro-batch's images in the domain's pool."""
        pool = self.pools[name]
        return sample(len(pool), self.recipe.batch, number, self.seed, name, pool.home)

    def images(self, name: str, index: Tensor, number: int) -> Tensor:
        """Return images by their places, augmented, (batch, 3, height, width)."""
        return self.augmentation[name].images(index, number)

    def training(self, name: str, index: Tensor, number: int, labels: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Return the images to train on, of the size that they have in the epoch, and labels, mixed as they are."""
        images = resized(self.images(name, index, number), grown_size(self.recipe, epoch))
        return self.augmentation[name].mix(images, labels, number)

    def dropout(self, name: str, number: int) -> AbstractContextManager[None]:
        """Make what dropout draws a function of the micro-batch."""
        return seeded(self.seed, "dropout", name, number) if self._drops else nullcontext()
