"""Names that every published SPair-71k reader survives (methods/formats.md#spair).

Readers split pair names on "-", assign pairs to categories by substring, glob with category names, and replace "jpg" in
whole paths. So stems are [A-Za-z0-9_]+, and no category name occurs in another one, in a stem, or in the fixed parts.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.domain.voc import VOC_CLASSES

_FIXED = ("000000-", ".json", ".jpg", ".png", "JPEGImages", "ImageAnnotation", "PairAnnotation", "Segmentation")
_RESERVED = {"all"}


def ascii_word(text: str) -> str:
    """Letters, digits and underscores of `text`, accents dropped; may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")


def voc_class_id(category: str) -> int:
    """1..20 of the VOC class, 1 for any other name (SPair masks hold class ids)."""
    return VOC_CLASSES.index(category) + 1 if category in VOC_CLASSES else 1


def category_names(names: Iterable[str], aliases: dict[str, str]) -> dict[str, str]:
    """Project category -> folder name, safe against every trap above; unchanged where it already is."""
    wanted = {name: _safe_category(aliases.get(name, name)) for name in names}
    result: dict[str, str] = {}
    # Longest first: the shorter of two nested names is the one that gets a number.
    for name in sorted(wanted, key=lambda n: (-len(wanted[n]), n)):
        result[name] = _first_free(wanted[name], result.values())
    return {name: result[name] for name in wanted}


def _first_free(base: str, taken: Iterable[str]) -> str:
    """`base` itself, numbered, or (when another name lies inside it, so that no suffix helps) letters and a number."""
    others = list(taken)
    numbered = [base, *(f"{base}_{n}" for n in range(1, 30))]
    letters = [f"{a}{b}{len(others)}" for b in string.ascii_lowercase for a in string.ascii_lowercase]
    for candidate in (*numbered, *letters):
        if not _clashes(candidate, others):
            return candidate
    raise UserInputError(
        said('No folder name for the category "{0}" is safe beside the others.', base),
        "Give the categories longer names or aliases.",
    )


def _safe_category(name: str) -> str:
    word = re.sub("jpg", "jp_g", ascii_word(name), flags=re.IGNORECASE)
    return word if re.search("[A-Za-z]", word) else f"category_{word}".rstrip("_")


def _clashes(candidate: str, others: Iterable[str]) -> bool:
    low = candidate.lower()
    if low in _RESERVED or any(low in fixed.lower() for fixed in _FIXED):
        return True
    return any(low in other.lower() or other.lower() in low for other in others)


class StemMaker:
    """Gives every image of a category a unique stem that holds no category name."""

    def __init__(self, categories: Iterable[str]) -> None:
        self._forbidden = [c.lower() for c in categories]
        self._used: dict[str, set[str]] = {}
        self._count = 0
        # Category names hold a letter, so a numbered stem can only clash with one made of our letter and digits.
        letters = [a + b for a in ["", *string.ascii_lowercase] for b in string.ascii_lowercase]
        self._letter = next(x for x in ["i", *letters] if not any(re.match(f"{x}[0-9_]*$", c) for c in self._forbidden))

    def stem(self, category: str, path: PurePosixPath) -> str:
        """The file's own stem where it is safe and free, else a numbered one."""
        used = self._used.setdefault(category, set())
        own = ascii_word(path.stem)[:80]
        candidate, number = own, 2
        while own and candidate.lower() in used and number < 100:
            candidate, number = f"{own}_{number}", number + 1
        low = candidate.lower()
        while not low or low in used or "jpg" in low or any(c in low for c in self._forbidden):
            self._count += 1
            candidate = low = f"{self._letter}{self._count:06d}"
        used.add(low)
        return candidate
