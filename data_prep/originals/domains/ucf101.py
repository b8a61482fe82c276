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
from decathlon.system.text import several

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
    videos = {name.lower(): file for name, file in tree.named(rf"({_VIDEO})\.avi").items()}
    frames, flow = _frames(tree)
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
    notes = (f"left out {several(flow, 'image')} of optical flow beside the frames.",) if flow else ()
    return Original(names, examples("train").grouped(groups), test=examples("test"), notes=notes)


def _lines(tree: Tree, name: str) -> list[re.Match[str]]:
    found = []
    for line in tree.lines(name):
        match = _LINE.fullmatch(line)
        if match is None:
            raise DataError(f"{name}: {line!r} is not a video. Copy the list again.")
        found.append(match)
    return found


def _frames(tree: Tree) -> tuple[dict[str, list[str]], int]:
    """Return the frame files of every video by number, and how many images of optical flow are beside them.

    Raises DataError where the names of a video's images differ in more than their last number.
    """
    found: dict[str, dict[int, str]] = {}
    kinds: dict[str, str] = {}
    flow = 0
    for file, match in tree.matching(rf"({_VIDEO})/([^/]*?)(\d+)\.(?:jpg|jpeg|png)"):
        if match[2].lower().startswith("flow"):
            flow += 1
            continue
        frames = found.setdefault(match[1].lower(), {})
        kind = file[: match.start(3)]
        if kinds.setdefault(match[1].lower(), kind) != kind or int(match[3]) in frames:
            other = frames.get(int(match[3]), next(iter(frames.values())))
            raise DataError(
                f"{tree.name} holds {other} and {file}: two kinds of frames of one video. Keep one of them."
            )
        frames[int(match[3])] = file
    return {video: [frames[number] for number in sorted(frames)] for video, frames in found.items()}, flow
