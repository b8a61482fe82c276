"""The ten synthetic domains: classes, counts, how images may be cut, and what draws them."""

from collections.abc import Callable
from dataclasses import dataclass

from decathlon.data.domains import SPLITS, CropPolicy
from decathlon.data_prep.synth.blossoms import BLOSSOMS, blossom
from decathlon.data_prep.synth.canvas import Pixels
from decathlon.data_prep.synth.characters import GLYPHS, digit, glyph
from decathlon.data_prep.synth.dice import Dice
from decathlon.data_prep.synth.figures import FIGURES, figure
from decathlon.data_prep.synth.motions import MOTIONS, motion
from decathlon.data_prep.synth.objects import ARRANGEMENTS, SHAPES, TOYS, scene, toy
from decathlon.data_prep.synth.signs import SIGNS, sign
from decathlon.data_prep.synth.textures import TEXTURES, texture
from decathlon.data_prep.synth.wagons import WAGONS, wagon

Render = Callable[[Dice, int], Pixels]


@dataclass(frozen=True)
class SynthDomain:
    """One synthetic domain; `render(dice, number)` draws an image of the class `classes[number]`.

    `gray` says that the three channels are equal, and the files hold one.
    """

    name: str
    classes: tuple[str, ...]
    train: int
    val: int
    test: int
    render: Render
    flip: bool = True
    crop: CropPolicy = "crop"
    gray: bool = False

    def count(self, split: str) -> int:
        """Return the number of images in `train`, `val` or `test`."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]

    @property
    def ranks(self) -> tuple[int, ...]:
        """The rank from 1 of every class among the names sorted as strings."""
        order = sorted(self.classes)
        return tuple(order.index(name) + 1 for name in self.classes)

    def draw(self, seed: int, index: int, split: str, number: int, label: int) -> Pixels:
        """Draw image `number` of a split, of the class `classes[label]`; `index` is the domain's rank from 1."""
        return self.render(Dice([seed, index, SPLITS.index(split), number + 1]), label)

    def labels(self, seed: int, index: int, split: str) -> list[int]:
        """Return the class of every image of a split: as many of each as can be, in mixed order."""
        dice = Dice([seed, index, SPLITS.index(split), 0])
        return [place % len(self.classes) for place in dice.order(self.count(split))]


def _numbered(noun: str, count: int) -> tuple[str, ...]:
    return tuple(f"{noun}{number}" for number in range(1, count + 1))


_SCENES = tuple(f"{arrangement} {shape}" for arrangement in ARRANGEMENTS for shape in SHAPES)

# Glyphs, digits and signs change meaning in a mirror. Figures would lose head and feet to a square crop, wagons
# their ends.
TABLE: tuple[SynthDomain, ...] = (
    SynthDomain("blossoms", tuple(BLOSSOMS), 360, 100, 160, blossom),
    SynthDomain("digits", tuple("0123456789"), 400, 100, 160, digit, flip=False),
    SynthDomain("figures", FIGURES, 360, 100, 160, figure, crop="squash", gray=True),
    SynthDomain("glyphs", _numbered("glyph", GLYPHS), 480, 120, 200, glyph, flip=False, gray=True),
    SynthDomain("motions", tuple(MOTIONS), 360, 100, 160, motion, gray=True),
    SynthDomain("scenes", _SCENES, 480, 130, 200, scene),
    SynthDomain("signs", _numbered("sign", SIGNS), 480, 120, 200, sign, flip=False),
    SynthDomain("textures", tuple(TEXTURES), 360, 100, 160, texture),
    SynthDomain("toys", tuple(TOYS), 400, 100, 160, toy),
    SynthDomain("wagons", tuple(WAGONS), 360, 100, 160, wagon, crop="full"),
)
