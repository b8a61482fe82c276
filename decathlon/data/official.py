"""The official ten: counts, normalisation and the Finetune errors that define the score.

Sources: the challenge's released annotations (counts), its mean/std file (normalisation), the Finetune row of
Rebuffi et al. 2017, table 1 (errors).
"""

from dataclasses import dataclass

from decathlon.data.domains import CropPolicy


@dataclass(frozen=True)
class OfficialDomain:
    """Published facts of one domain; `finetune_error` in 0..1, counts in images."""

    index: int
    classes: int
    train: int
    val: int
    test: int
    finetune_error: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    flip: bool = True
    crop: CropPolicy = "crop"

    def count(self, split: str) -> int:
        """Return the number of images in `train`, `val` or `test`."""
        return int(getattr(self, split))


def _gray(value: float) -> tuple[float, float, float]:
    return value, value, value


# Digits, signs and characters change meaning in a mirror: no flip. A pedestrian is twice as tall as wide, and
# a centre crop would cut off head and feet: squash.
OFFICIAL: dict[str, OfficialDomain] = {
    "aircraft": OfficialDomain(
        1, 100, 3334, 3333, 3333, 0.3966,
        (0.47983041, 0.51074066, 0.53437998), (0.21070221, 0.20508901, 0.23729657),
    ),
    "cifar100": OfficialDomain(
        2, 100, 40000, 10000, 10000, 0.1788,
        (0.50705882, 0.48666667, 0.44078431), (0.26745098, 0.25647059, 0.27607843),
    ),
    "daimlerpedcls": OfficialDomain(
        3, 2, 23520, 5880, 19600, 0.0718, _gray(0.48203529), _gray(0.23612616), crop="squash",
    ),
    "dtd": OfficialDomain(
        4, 47, 1880, 1880, 1880, 0.4447,
        (0.52696497, 0.47025164, 0.42396662), (0.25226877, 0.2409176, 0.2499409),
    ),
    "gtsrb": OfficialDomain(
        5, 43, 31367, 7842, 12630, 0.0247,
        (0.33921263, 0.3117836, 0.32047045), (0.27560347, 0.26576119, 0.27089863), flip=False,
    ),
    "imagenet12": OfficialDomain(
        6, 1000, 1232167, 49000, 48238, 0.4013, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225),
    ),
    "omniglot": OfficialDomain(
        7, 1623, 17853, 6492, 8115, 0.1231, _gray(0.08099839), _gray(0.27046935), flip=False,
    ),
    "svhn": OfficialDomain(
        8, 10, 47217, 26040, 26032, 0.0345,
        (0.4376821, 0.4437697, 0.47280442), (0.19803012, 0.20101562, 0.19703614), flip=False,
    ),
    "ucf101": OfficialDomain(
        9, 101, 7585, 1952, 3783, 0.4880,
        (0.49953101, 0.49880386, 0.49981996), (0.10898684, 0.10810246, 0.10679939),
    ),
    "vgg-flowers": OfficialDomain(
        10, 102, 1020, 1020, 6149, 0.1859,
        (0.43414682, 0.38309883, 0.29714763), (0.28509808, 0.23842338, 0.2639633),
    ),
}  # fmt: skip


def is_official(name: str, classes: int, test_images: int | None = None) -> bool:
    """Return whether a domain is the official one of that name, and not a subset or another data set."""
    known = OFFICIAL.get(name)
    return known is not None and known.classes == classes and test_images in (None, known.test)
