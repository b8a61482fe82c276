"""omniglot: Omniglot (https://github.com/brendenlake/omniglot), both parts, one class per character.

The challenge has 11 drawings per character for training, 4 for validation and 5 for test; it is not known which.
Its images are white on black, as its mean of 0.081 shows, the original's black on white: they are inverted. Its
classes are the numbers 1 to 1623, sorted as strings; it is not known which character is which. Here they are
numbered by part (background first), alphabet and character.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from decathlon.data.decoding import MAX_SIDE, decode
from decathlon.data_prep.originals.original import Original, labelled
from decathlon.data_prep.sources.file_tree import Tree
from decathlon.data_prep.sources.image_ref import Picture

LAYOUT = "a folder with images_background/ and images_evaluation/, both unpacked"


def read(tree: Tree) -> Original:
    """Return the data set; raises DataError for a missing part."""
    pattern = r"(images_(?:background|evaluation)/[^/]+/character\d+)/\d+_\d+\.png"
    found = [(file, match[1]) for file, match in tree.matching(pattern)]
    characters = sorted({character for _, character in found})
    for part in ("images_background", "images_evaluation"):
        if not any(character.startswith(part) for character in characters):
            raise tree.missing(f"{part}/<alphabet>/<character>/<number>.png")
    number = {character: str(i + 1) for i, character in enumerate(characters)}
    names = tuple(sorted(number.values()))
    entries = ((file, number[character]) for file, character in found)

    def picture(file: str) -> Picture:
        place = tree.picture(file)
        return Inverted(place.name, place.path, place.offset, place.size, place.data)

    note = (
        "it is not known which character is which of the challenge's classes: they are numbered by part and name."
    )
    return Original(names, labelled("omniglot", entries, names, picture), notes=(note,))


@dataclass(frozen=True, slots=True)
class Inverted(Picture):
    """An image file to be packed inverted."""

    def read(self) -> bytes | npt.NDArray[np.uint8]:
        """Return the inverted pixels (height, width, 3); raises DataError for a broken file."""
        data = Picture.read(self)  # a class with slots has no super() without arguments
        return 255 - np.asarray(decode(data, self.name, MAX_SIDE))
