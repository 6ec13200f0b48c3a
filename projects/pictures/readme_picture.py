"""The README's picture from a demo's contact sheet.

kinmark demo --out demo-output && python -m kinmark.projects.pictures.readme_picture demo-output/contact-sheet.png docs/pictures/demo.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

WIDTH = 1180


def make_readme_picture(sheet: Path, out: Path) -> Path:
    """The sheet at README width as a JPEG of a few hundred kilobytes."""
    with Image.open(sheet) as image:
        height = round(image.height * WIDTH / image.width)
        small = image.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    out.parent.mkdir(parents=True, exist_ok=True)
    small.save(out, quality=82, optimize=True)
    return out


if __name__ == "__main__":
    make_readme_picture(Path(sys.argv[1]), Path(sys.argv[2]))
