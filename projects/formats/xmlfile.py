"""XML from strangers: entities, DTDs and absurd depth are refused (defusedxml); checked access to attributes."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from kinmark.engine.domain.errors import ImportFileError
from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import bad

MAX_DEPTH = 60


def load_xml(path: Path) -> Element:
    """The root element; ImportFileError for malformed files and for everything that makes XML dangerous."""
    data = checks.read_bytes(path, 500_000_000)
    if not data.strip():
        raise checks.empty_file(path)
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):  # XML may be UTF-16
        checks.refuse_other_content(path, data)
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise bad(
            path,
            "",
            said("it declares a document type or entities ({0}), which no annotation file needs", type(error).__name__),
            "Do not import files of unknown origin.",
        ) from None
    except ParseError as error:
        raise bad(path, said("line {0}", error.position[0]), *_why(data, str(error))) from None
    except (ValueError, LookupError, RecursionError) as error:
        raise bad(path, "", said("it is not valid XML ({0})", error)) from None
    if _deeper_than(root, MAX_DEPTH):
        raise bad(path, "", "its elements are nested too deeply")
    return root


def _why(data: bytes, error: str) -> tuple[str, str]:
    """What is wrong with malformed XML, and what to do; mostly it is another encoding than the file declares."""
    head = data[:200].lower()
    if b"encoding" not in head or b"utf-8" in head:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as wrong:
            return (
                said(
                    "it is not UTF-8 text although it says so (byte {0}: 0x{1})",
                    wrong.start,
                    f"{data[wrong.start]:02x}",
                ),
                "Save it as UTF-8 (it was probably saved as Windows-1252), or correct encoding=... in its first line.",
            )
    return said("it is not valid XML ({0})", error), ""


def _deeper_than(root: Element, limit: int) -> bool:
    level = [root]
    for _ in range(limit):
        level = [child for element in level for child in element]
        if not level:
            return False
    return True


class Node:
    """An element with its place in the file, for checked access to its attributes."""

    def __init__(self, path: Path, where: str, element: Element) -> None:
        self.path, self.element = path, element
        self.where = where if len(where) <= 300 else where[:300]

    def error(self, what: str, hint: str = "") -> ImportFileError:
        """The error for this element."""
        return bad(self.path, self.where, what, hint)

    def required(self, name: str) -> str:
        """An attribute that must be there and not be empty."""
        value = self.element.get(name)
        if value is None or not value.strip():
            raise self.error(said('the attribute "{0}" is missing', name))
        return value

    def number(self, name: str) -> float:
        """A finite coordinate."""
        return self._coordinate(self.required(name), f'"{name}"')

    def integer(self, name: str) -> int:
        """A whole number."""
        value = self.number(name)
        if value != int(value):
            raise self.error(said('"{0}" must be a whole number, found {1}', name, value))
        return int(value)

    def child_number(self, tag: str) -> float:
        """The text of a child element as finite coordinate."""
        text = self.element.findtext(tag)
        if text is None:
            raise self.error(said("<{0}> is missing", tag))
        return self._coordinate(text, f"<{tag}>")

    def points(self, name: str) -> list[tuple[float, float]]:
        """ "x,y;x,y" as finite points."""
        result = []
        for pair in self.required(name).split(";"):
            parts = pair.split(",")
            if len(parts) != 2:
                raise self.error(said('"{0}" must be "x,y;x,y", found {1}', name, repr(pair[:40])))
            result.append((self._coordinate(parts[0], name), self._coordinate(parts[1], name)))
        return result

    def _coordinate(self, text: str, what: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise self.error(
                said("{0} must be a number, found {1}", what, repr(text[:40])), checks.comma_hint(text)
            ) from None
        if not abs(value) <= checks.MAX_COORDINATE:
            raise self.error(said("{0} is not finite or absurdly large", what))
        return value
