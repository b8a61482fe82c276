"""ucf101: UCF101 (https://www.crcv.ucf.edu/data/UCF101.php), one dynamic image per video, split 1.

Takes the videos (.avi, this needs the package av) or their frames as JPEG or PNG, in one folder per video,
named like it (v_Archery_g01_c01). The 3,783 test videos are those of testlist01; the 1,952 for validation were
drawn from the 9,537 of trainlist01; it is not known which. Here videos of one group, cut from one recording, stay
in one split.
"""

import re

from decathlon.data_prep.originals.dynamic_image import DynamicImage, require_av
from decathlon.data_prep.originals.original import Examples, Original, labelled
from decathlon.data_prep.sources.file_tree import Tree
from decathlon.data_prep.sources.image_ref import Picture
from decathlon.errors import DataError

LAYOUT = (
    "the folder UCF-101 (videos) or folders of frames named like the videos, and the folder ucfTrainTestlist with "
    "trainlist01.txt and testlist01.txt"
)
_VIDEO = r"v_\w+_g\d+_c\d+"
_LINE = re.compile(r"(\w+)/(v_\w+_g(\d+)_c\d+)\.avi(?: \d+)?")


def read(tree: Tree) -> Original:
    """Return the data set; raises DataError for missing videos and damaged lists."""
    lists = {split: _lines(tree, tree.one(f"{split}list01.txt")) for split in ("train", "test")}
    names = tuple(sorted({match[1] for matches in lists.values() for match in matches}))
    videos = {match[1].lower(): file for file, match in tree.matching(rf"({_VIDEO})\.avi")}
    frames = _frames(tree)
    if not frames:
        require_av()

    def picture(video: str) -> Picture:
        key = video.lower()  # lists and files differ in case: HandStand, Handstand
        if key in frames:
            return DynamicImage(video, frames=tuple(tree.picture(file) for file in frames[key]))
        place = tree.picture(videos[key])
        return DynamicImage(video, place.path, place.offset, place.size, place.data)

    def examples(split: str) -> Examples:
        for match in lists[split]:
            if match[2].lower() not in frames and match[2].lower() not in videos:
                raise tree.missing(f"{match[2]}.avi and no folder of its frames")
        entries = ((match[2], match[1]) for match in lists[split])
        return labelled(f"{split}list01", entries, names, picture)

    groups = [(match[1], match[3]) for match in lists["train"]]
    return Original(names, examples("train").grouped(groups), test=examples("test"))


def _lines(tree: Tree, name: str) -> list[re.Match[str]]:
    found = []
    for line in tree.lines(name):
        match = _LINE.fullmatch(line)
        if match is None:
            raise DataError(f"{name}: {line!r} is not a video. Copy the list again.")
        found.append(match)
    return found


def _frames(tree: Tree) -> dict[str, list[str]]:
    """Return the frame files of every video in order of the last number in their names."""
    found: dict[str, list[tuple[int, str]]] = {}
    for file, match in tree.matching(rf"({_VIDEO})/[^/]*?(\d+)\.(?:jpg|jpeg|png)"):
        found.setdefault(match[1].lower(), []).append((int(match[2]), file))
    return {video: [file for _, file in sorted(frames)] for video, frames in found.items()}
