"""A contact sheet: pictures set in rows like words in a text, captions below them, a heading on top."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from decathlon.reports.figures.lettering import BOLD, REGULAR, font_of, lettered, wrapped

WIDTH = 1320  # pixels of a row
LOW, WIDE, HIGH = 144, 432, 288  # pixels: aim of the shorter side, and the largest picture
NARROWEST = 120  # pixels, the least width of a caption
MARGIN, GAP, BESIDE = 20, 14, 6
PAPER, INK, QUIET, FRAME = "white", "#1a1a1a", "#5f6b76", "#b8c0c8"


@dataclass(frozen=True)
class Tile:
    """Pictures side by side, the first set apart from the others, and the caption below them."""

    pictures: tuple[Image.Image, ...]
    caption: str

    def draw(self) -> Image.Image:
        """Draw the pictures, each in a frame around it, above two lines for the caption."""
        first, *others = (ImageOps.expand(picture, 1, FRAME) for picture in self.pictures)
        row = _beside([ImageOps.expand(first, (0, 0, BESIDE, 0), PAPER), *others], BESIDE) if others else first
        font = font_of(self.caption) or REGULAR
        return _stacked([row, _text(self.caption, font, 12, INK, max(row.width, NARROWEST), 2)], 3)


def draw(title: str, notes: Sequence[str], tiles: Sequence[Tile]) -> bytes:
    """Return a sheet as PNG; the same arguments give the same bytes."""
    rows: list[list[Image.Image]] = [[]]
    for tile in map(Tile.draw, tiles):
        if sum(other.width + GAP for other in rows[-1]) + tile.width > WIDTH:
            rows.append([])
        rows[-1].append(tile)
    body = _stacked([_beside(row, GAP) for row in rows], BESIDE)
    width = max(640, body.width)
    title, font = lettered(title)
    font = BOLD if font == REGULAR else font
    heading = [_text(title, font, 17, INK, width), *(_text(note, REGULAR, 13, QUIET, width) for note in notes)]
    out = io.BytesIO()
    ImageOps.expand(_stacked([*heading, body], BESIDE), MARGIN, PAPER).save(out, "PNG")
    return out.getvalue()


def enlarged(image: Image.Image) -> Image.Image:
    """Return an image enlarged by a whole factor, so that its pixels stay sharp, or a large one shrunk."""
    width, height = image.size
    scale = min(LOW / min(width, height), WIDE / width, HIGH / height)
    if scale >= 1:
        return ImageOps.scale(image, int(scale), Image.Resampling.NEAREST)
    return image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.LANCZOS)


def _text(text: str, path: Path, size: int, colour: str, width: int, lines: int = 0) -> Image.Image:
    """Return text broken to a width, with room for a number of lines; by default as many as it needs."""
    font = ImageFont.truetype(path, size)
    broken = wrapped(text, width, font.getlength, lines or 4)
    height = sum(font.getmetrics())
    image = Image.new("RGB", (width, height * (lines or len(broken))), PAPER)
    for i, line in enumerate(broken):
        ImageDraw.Draw(image).text((0, height * i), line, colour, font)
    return image


def _beside(images: Sequence[Image.Image], gap: int) -> Image.Image:
    """Return images side by side, their lower edges level."""
    size = sum(image.width + gap for image in images) - gap, max(image.height for image in images)
    whole, left = Image.new("RGB", size, PAPER), 0
    for image in images:
        whole.paste(image, (left, size[1] - image.height))
        left += image.width + gap
    return whole


def _stacked(images: Sequence[Image.Image], gap: int) -> Image.Image:
    """Return images one below the other, their left edges level."""
    size = max(image.width for image in images), sum(image.height + gap for image in images) - gap
    whole, top = Image.new("RGB", size, PAPER), 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height + gap
    return whole
