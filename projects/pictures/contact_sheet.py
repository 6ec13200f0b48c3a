"""Contact sheets: photos with keypoints, masks and truth drawn as the window draws them (state = shape + colour)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kinmark.engine.domain.geometry import Box
from kinmark.engine.imaging import load_image

# Okabe-Ito, as in the window.
HUMAN, ACCEPTED, PENDING, DOUBT = "#0072B2", "#009E73", "#E69F00", "#D55E00"
TRUTH = "#FFFFFF"
BACKGROUND, CARD, TEXT, QUIET = "#1e2022", "#26282b", "#f2f2f2", "#a8adb3"
PAD, CAPTION = 10, 38


@dataclass(frozen=True)
class DrawnPoint:
    """One keypoint in xy_image: `style` "human", "accepted", "pending", "doubt" or "truth"."""

    x: float
    y: float
    style: str
    hidden: bool = False


@dataclass(frozen=True)
class Tile:
    """One photo of the sheet with what to draw on it (all in xy_image of the full photo)."""

    path: Path
    title: str
    subtitle: str = ""
    points: tuple[DrawnPoint, ...] = ()
    edges: tuple[tuple[tuple[float, float], tuple[float, float]], ...] = ()
    mask: NDArray[np.bool_] | None = None
    mask_colour: str = PENDING
    truth_mask: NDArray[np.bool_] | None = None
    box: Box | None = None
    accent: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and its tiles, laid out in rows."""

    title: str
    tiles: tuple[Tile, ...]
    note: str = ""


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Cut in the middle so that both ends of a long file name stay readable."""
    if font.getlength(text) <= width:
        return text
    keep = len(text)
    while keep > 4 and font.getlength(text[: keep // 2] + "…" + text[-(keep - keep // 2) :]) > width:
        keep -= 1
    return text[: keep // 2] + "…" + text[-(keep - keep // 2) :]


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Border pixels of a boolean `[H, W]` mask (4-neighbourhood)."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    border: NDArray[np.bool_] = mask & ~inner
    return border


def _grow(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1)
    grown: NDArray[np.bool_] = (
        padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:] | padded[1:-1, 1:-1]
    )
    return grown


def _shrunk(mask: NDArray[np.bool_], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    image = Image.fromarray(mask.astype(np.uint8) * 255).resize(size_wh, Image.Resampling.BILINEAR)
    return np.asarray(image) > 127


def _paint_mask(picture: Image.Image, mask: NDArray[np.bool_], colour: str, fill: float) -> Image.Image:
    pixels = np.asarray(picture, dtype=np.float32).copy()
    inside = _shrunk(mask, picture.size)
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32)
    pixels[inside] = pixels[inside] * (1 - fill) + rgb * fill
    pixels[_grow(_outline(inside))] = rgb
    return Image.fromarray(pixels.round().astype(np.uint8))


def _draw_point(draw: ImageDraw.ImageDraw, point: DrawnPoint, scale: float) -> None:
    x, y = point.x * scale, point.y * scale
    r = 3.5
    colour = {"human": HUMAN, "accepted": ACCEPTED, "pending": PENDING, "doubt": DOUBT}.get(point.style, TRUTH)
    if point.style == "truth":
        for width, ink in ((3, "#000000"), (1, TRUTH)):
            draw.line((x - r, y - r, x + r, y + r), fill=ink, width=width)
            draw.line((x - r, y + r, x + r, y - r), fill=ink, width=width)
        return
    draw.ellipse((x - r - 1, y - r - 1, x + r + 1, y + r + 1), fill="#ffffff")
    if point.style in ("human", "accepted") and not point.hidden:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    else:
        draw.ellipse((x - r, y - r, x + r, y + r), fill="#26282b", outline=colour, width=2)
    if point.hidden:
        draw.line((x - r, y + r, x + r, y - r), fill=colour, width=2)


def _draw_tile(tile: Tile, width: int, height: int) -> Image.Image:
    card = Image.new("RGB", (width, height + CAPTION), CARD)
    loaded = load_image(tile.path, max_side=max(width, height) * 2)
    full_w, full_h = loaded.header.size_wh
    scale = min(width / full_w, height / full_h)
    size = (max(1, round(full_w * scale)), max(1, round(full_h * scale)))
    picture = Image.fromarray(loaded.rgb).resize(size, Image.Resampling.LANCZOS)
    if tile.truth_mask is not None:
        picture = _paint_mask(picture, tile.truth_mask, TRUTH, 0.0)
    if tile.mask is not None:
        picture = _paint_mask(picture, tile.mask, tile.mask_colour, 0.35)
    draw = ImageDraw.Draw(picture)
    if tile.box is not None:
        draw.rectangle(tuple(v * scale for v in tile.box), outline=HUMAN, width=2)
    for a, b in tile.edges:
        draw.line((a[0] * scale, a[1] * scale, b[0] * scale, b[1] * scale), fill="#d8dce0", width=1)
    for point in tile.points:
        _draw_point(draw, point, scale)
    card.paste(picture, ((width - size[0]) // 2, (height - size[1]) // 2))
    pen = ImageDraw.Draw(card)
    if tile.accent:
        pen.rectangle((0, 0, width - 1, height + CAPTION - 1), outline=tile.accent, width=2)
    pen.text((8, height + 4), _fit(tile.title, _font(13), width - 16), fill=TEXT, font=_font(13))
    pen.text((8, height + 20), _fit(tile.subtitle, _font(11), width - 16), fill=QUIET, font=_font(11))
    return card


def draw_contact_sheet(
    title: str, sections: tuple[Section, ...], out: Path, *, columns: int = 6, tile_wh: tuple[int, int] = (220, 190)
) -> Path:
    """Draw the sections to one PNG.

    Args:
        title: heading of the sheet.
        sections: each starts a new row.
        out: the PNG to write (parents are made).
        columns: tiles per row; `tile_wh`: picture area of a tile in pixels.

    Raises:
        UnreadableImageError: one of the photos cannot be decoded.
    """
    tile_w, tile_h = tile_wh
    cell_w, cell_h = tile_w + PAD, tile_h + CAPTION + PAD
    width = columns * cell_w + 3 * PAD
    rows = [max(1, -(-len(section.tiles) // columns)) for section in sections]
    height = 60 + sum(count * cell_h + 34 for count in rows) + 40
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((2 * PAD, 16), title, fill=TEXT, font=_font(24))
    y = 60
    for section, count in zip(sections, rows, strict=True):
        pen.text((2 * PAD, y + 6), section.title, fill=TEXT, font=_font(16))
        x_note = 2 * PAD + _font(16).getlength(section.title) + 14
        pen.text((x_note, y + 10), section.note, fill=QUIET, font=_font(12))
        y += 32
        for index, tile in enumerate(section.tiles):
            left = 2 * PAD + (index % columns) * cell_w
            sheet.paste(_draw_tile(tile, tile_w, tile_h), (left, y + (index // columns) * cell_h))
        y += count * cell_h + 2
    _draw_legend(sheet, y + 6)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, optimize=True)
    return out


def _draw_legend(sheet: Image.Image, y: int) -> None:
    draw = ImageDraw.Draw(sheet)
    x = 2 * PAD + 6
    labels = (
        ("human", "labelled by hand"),
        ("accepted", "accepted proposal"),
        ("pending", "pending"),
        ("doubt", "doubtful"),
        ("truth", "truth"),
    )
    for style, label in labels:
        _draw_point(draw, DrawnPoint(x, y + 8, style), 1.0)
        draw.text((x + 12, y), label, fill=QUIET, font=_font(12))
        x += int(_font(12).getlength(label)) + 40
