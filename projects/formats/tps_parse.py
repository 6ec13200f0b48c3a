"""The specimens of a TPS file: `LM=n`, n lines "x y", then IMAGE=, ID=, SCALE=, CURVES= ..."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import BadItems, bad
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.dataset import Report

_KEY = re.compile(r"^([A-Za-z]+[0-9]*)\s*=\s*(.*)$")
_KEPT = ("ID", "SCALE")


@dataclass
class Specimen:
    """One entry while it is read."""

    line: int
    points: list[tuple[float, float] | None] = field(default_factory=list)
    curves: list[list[tuple[float, float] | None]] = field(default_factory=list)
    image: str = ""
    fields: dict[str, str] = field(default_factory=dict)


def _text(file: Path, report: Report) -> str:
    """UTF-8, else what Windows programs write."""
    data = checks.read_bytes(file)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        report.add("note", file.name, "it is not UTF-8: read as Windows-1252")
        return data.decode("cp1252", errors="replace")


def parse(file: Path, broken: BadItems, report: Report) -> list[Specimen]:
    """The specimens of a file; a damaged one is left out as a whole (its landmarks would be renumbered)."""
    specimens: list[Specimen] = []
    blocks: list[tuple[int, list[tuple[int, str]]]] = []
    for number, raw in enumerate(_text(file, report).splitlines(), start=1):
        line = raw.strip()
        if line.upper().startswith(("LM=", "LM3=", "LM =")):
            blocks.append((number, []))
        if line and blocks:
            blocks[-1][1].append((number, line))
        elif line:
            broken.handle(
                said("{0}, line {1}", file.name, number),
                bad(file, said("line {0}", number), "it stands before the first LM="),
            )
    for number, lines in blocks:
        try:
            specimens.append(_specimen(file, number, lines, report))
        except AppError as error:
            broken.handle(said("{0}, line {1}", file.name, number), error)
    return specimens


def _specimen(file: Path, start: int, lines: list[tuple[int, str]], report: Report) -> Specimen:
    specimen = Specimen(start)
    taking: list[tuple[float, float] | None] = specimen.points
    left, told = 0, -1
    for number, line in lines:
        item = Item(file, said("line {0}", number), {})
        match = _KEY.match(line)
        if match is None:
            if left <= 0:
                raise item.error(
                    said("{0} stands where no landmark is expected", repr(line[:60])), "Check the count after LM=."
                )
            taking.append(_point(line, item))
            left -= 1
            continue
        if left > 0:
            raise item.error(said("%n landmarks are missing before it", n=left), "Check the count after LM=.")
        key, value = match.group(1).upper(), match.group(2).strip()
        if key == "LM3":
            raise item.error(
                "it holds three-dimensional landmarks (LM3=)", "Only flat landmarks of photos are imported."
            )
        if key in ("LM", "POINTS"):
            left = _count(value, item)
            if key == "POINTS":
                specimen.curves.append([])
                taking = specimen.curves[-1]
        elif key == "IMAGE" or key in _KEPT:
            if key in specimen.fields:
                raise item.error(said("{0}= stands twice in the specimen", key), "Keep one of the two lines.")
            specimen.fields[key] = value[:1000]
        elif key == "CURVES":
            told = _count(value, item)
        else:
            report.count("lost", f"{key[:40]}=", said("{0}, line {1}", file.name, number), "there is no place for it")
    if left > 0:
        raise bad(
            file,
            said("line {0}", lines[-1][0]),
            said("{0} landmarks are missing after it", left),
            "Check the count after LM=.",
        )
    if told not in (-1, len(specimen.curves)):
        report.count(
            "flagged",
            "CURVES= of another number",
            said("{0}, line {1}", file.name, start),
            "those that stand there are read",
        )
    specimen.image = specimen.fields.pop("IMAGE", "")
    return specimen


def _count(text: str, item: Item) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise item.error(said("{0} is no count", repr(text[:40])))
    return checks.whole(int(text), item, "the count", low=0, high=checks.MAX_KEYPOINTS)


def _point(line: str, item: Item) -> tuple[float, float] | None:
    words = line.split()
    if len(words) == 2:  # tpsDig writes the decimal sign of the person's country
        words = [word.replace(",", ".") for word in words]
    if len(words) != 2:
        raise item.error(said("two numbers are expected, found {0}", repr(line[:60])))
    if any(word.upper() in ("NA", "NAN", "?") for word in words):
        return None
    try:
        x, y = (checks.coordinate(float(word), item, "a landmark") for word in words)
    except ValueError:
        raise item.error(said("two numbers are expected, found {0}", repr(line[:60]))) from None
    return (x, y) if x >= 0 or y >= 0 else None
