"""A contact sheet: pictures set in rows like words in a text, captions below them, a heading on top."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from decathlon.reports.figures.lettering import BOLD, REGULAR, font_of, wrapped

WIDTH = 1300  # pixels of a row
LOW, WIDE, HIGH = 144, 432, 288  # pixels: aim of the shorter side, and the largest picture
NARROWEST = 120  # pixels, the least width of a caption
MARGIN, GAP, BESIDE = 20, 14, 6
LINE = 16  # pixels from one caption line to the next
PAPER, INK, QUIET, FRAME = "white", "#1a1a1a", "#5f6b76", "#b8c0c8"


@dataclass(frozen=True)
class Tile:
    """Pictures side by side, the first set apart from the others, and the caption below them."""

    pictures: tuple[Image.Image, ...]
    caption: str

    @property
    def height(self) -> int:
        """Height of the pictures in pixels."""
        return max(picture.height for picture in self.pictures)

    @property
    def places(self) -> list[int]:
        """The left edge of each picture in pixels, and the width of all of them."""
        begins = [0]
        for picture in self.pictures:
            begins.append(begins[-1] + picture.width + BESIDE * (2 if len(begins) == 1 else 1))
        return [*begins[:-1], begins[-2] + self.pictures[-1].width]

    @property
    def width(self) -> int:
        """Width of pictures and caption in pixels."""
        return max(self.places[-1], NARROWEST)

    def lines(self) -> list[str]:
        """The caption, wrapped to the width."""
        return wrapped(self.caption, self.width, _font(font_of(self.caption) or REGULAR, 12).getlength)


def draw(title: str, notes: Sequence[str], tiles: Sequence[Tile]) -> bytes:
    """Return a sheet as PNG; the same arguments give the same bytes."""
    rows = _rows(tiles)
    inner = max(640, *(_width(row) for row in rows))
    bold, small = _font(BOLD, 17), _font(REGULAR, 13)
    heading = [(line, bold, 24, INK) for line in wrapped(title, inner, bold.getlength, 4)]
    heading += [(line, small, 19, QUIET) for note in notes for line in wrapped(note, inner, small.getlength, 4)]
    top = MARGIN + sum(height for _, _, height, _ in heading) + GAP
    image = Image.new("RGB", (inner + 2 * MARGIN, top + sum(_height(row) + GAP for row in rows) + MARGIN), PAPER)
    pen = ImageDraw.Draw(image)
    y = MARGIN
    for line, font, height, colour in heading:
        pen.text((MARGIN, y), line, colour, font)
        y += height
    for row in rows:
        _draw_row(image, pen, row, top)
        top += _height(row) + GAP
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def enlarged(image: Image.Image) -> Image.Image:
    """Return an image enlarged by a whole factor, so that its pixels stay sharp, or a large one shrunk."""
    width, height = image.size
    factor = min(LOW // min(width, height), WIDE // width, HIGH // height)
    if factor:
        return image.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    scale = min(LOW / min(width, height), WIDE / width, HIGH / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def _rows(tiles: Sequence[Tile]) -> list[list[Tile]]:
    rows: list[list[Tile]] = []
    for tile in tiles:
        if not rows or _width([*rows[-1], tile]) > WIDTH:
            rows.append([])
        rows[-1].append(tile)
    return rows


def _width(row: Sequence[Tile]) -> int:
    return sum(tile.width for tile in row) + GAP * (len(row) - 1)


def _height(row: Sequence[Tile]) -> int:
    return max(tile.height for tile in row) + 4 + LINE * max(len(tile.lines()) for tile in row)


def _draw_row(image: Image.Image, pen: ImageDraw.ImageDraw, row: Sequence[Tile], top: int) -> None:
    x, floor = MARGIN, top + max(tile.height for tile in row)
    for tile in row:
        begin = x + (tile.width - tile.places[-1]) // 2
        for picture, place in zip(tile.pictures, tile.places, strict=False):
            left, high = begin + place, floor - picture.height
            image.paste(picture, (left, high))
            # Around the picture, not on it, so that a white one has an edge too.
            pen.rectangle((left - 1, high - 1, left + picture.width, floor), outline=FRAME)
        font = _font(font_of(tile.caption) or REGULAR, 12)
        for i, line in enumerate(tile.lines()):
            pen.text((x + tile.width / 2, floor + 4 + LINE * i), line, INK, font, anchor="ma")
        x += tile.width + GAP


@cache
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
