"""A schema being edited: plain data with checks, turned into one operation at the end. No Qt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.projects.formats.schemas import guess_pairs
from kinmark.projects.store.rows import CategoryRow

LONGEST_NAME = 300
_SIDE_WORDS = {"left": "l", "lft": "l", "l": "l", "right": "r", "rgt": "r", "r": "r", "links": "l", "rechts": "r"}


def _side_and_part(name: str) -> tuple[str, str]:
    """("l", "ear") of "left_ear", "leftEar", "L ear", "ear.l", "leftear"; the side is "" in the middle."""
    words = [w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_a-zA-Z]+", name)]
    sides = [_SIDE_WORDS[w] for w in words if w in _SIDE_WORDS]
    rest = [w for w in words if w not in _SIDE_WORDS]
    if not sides and words:  # "leftear": the long words may stand without a gap
        for word, side in (("left", "l"), ("right", "r")):
            if words[0].startswith(word):
                sides, rest = [side], [words[0][len(word) :], *words[1:]]
            elif words[-1].endswith(word):
                sides, rest = [side], [*words[:-1], words[-1][: -len(word)]]
    return (sides[0] if len(sides) == 1 else "", "".join(rest))


def pairs_of_mixed_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """(left, right) names of the same part that are written differently: "leftear" and "right_ear", "Ear.L" and "ear r".

    A part that has two names on one side is left alone: it cannot be told which is meant.
    """
    parts: dict[str, dict[str, list[str]]] = {}
    for name in names:
        side, part = _side_and_part(name)
        if side and part:
            parts.setdefault(part, {}).setdefault(side, []).append(name)
    return [
        (sides["l"][0], sides["r"][0])
        for sides in parts.values()
        if len(sides.get("l", ())) == 1 and len(sides.get("r", ())) == 1
    ]


def glued_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """(left, right) of "lear" and "rear", "paw1l" and "paw1r": one letter more, without a gap.

    Only for a person who asks for suggestions and sees them: "lock" and "rock" look the same.
    """
    lower = {name.lower(): name for name in names}
    found = []
    for name in names:
        low = name.lower()
        if len(low) > 2:
            twins = ["r" + low[1:] if low[0] == "l" else "", low[:-1] + "r" if low[-1] == "l" else ""]
            found += [(name, lower[twin]) for twin in twins if twin in lower]
    return found


def listed_names(text: str) -> list[str]:
    """Names of a list that was typed or pasted: one a line, or with commas, semicolons or tabs between them."""
    names = (name.strip()[:LONGEST_NAME] for name in re.split(r"[,;\t\r\n\u2028\u2029]+", text))
    return [name for name in names if name]


@dataclass
class DraftKeypoint:
    """One line of the editor; `was` is its name in the project ("" = new)."""

    name: str
    was: str = ""
    colour: str = ""


@dataclass
class SchemaDraft:
    """The whole draft; edges and pairs by name, so that reordering moves nothing."""

    keypoints: list[DraftKeypoint] = field(default_factory=list)
    edges: list[tuple[str, str]] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)

    @staticmethod
    def of(category: CategoryRow) -> SchemaDraft:
        """What the project has now."""
        names = {d.id: d.name for d in category.definitions}
        return SchemaDraft(
            [DraftKeypoint(d.name, d.name, d.colour) for d in category.definitions],
            [(names[a], names[b]) for a, b in category.edge_ids if a in names and b in names],
            [(names[a], names[b]) for a, b in category.pair_ids if a in names and b in names],
        )

    @staticmethod
    def from_schema(schema: KeypointSchema) -> SchemaDraft:
        """From a template."""
        return SchemaDraft(
            [DraftKeypoint(n) for n in schema.names],
            [(schema.names[a], schema.names[b]) for a, b in schema.edges],
            [(schema.names[a], schema.names[b]) for a, b in schema.pairs],
        )

    def named(self, places: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        """What is known by the names that the project has (of new ones, their own), by the names of the draft."""
        return {k.name: places[k.was or k.name] for k in self.keypoints if (k.was or k.name) in places}

    @property
    def names(self) -> list[str]:
        """Names in order."""
        return [k.name for k in self.keypoints]

    def add(self, name: str) -> None:
        """A new keypoint at the end; its twin becomes its pair when the names say so."""
        base, number = name.strip() or "keypoint", 2
        candidate = base
        while candidate in self.names:
            candidate, number = f"{base}_{number}", number + 1
        self.keypoints.append(DraftKeypoint(candidate))
        self._pair_up(candidate)

    def rename(self, index: int, name: str) -> bool:
        """Rename; False when the name is empty or taken."""
        name = name.strip()
        old = self.keypoints[index].name
        if name == old:
            return True
        if not name or name in self.names:
            return False
        self.keypoints[index].name = name
        self.edges = [(name if a == old else a, name if b == old else b) for a, b in self.edges]
        self.pairs = [(name if a == old else a, name if b == old else b) for a, b in self.pairs]
        self._pair_up(name)
        return True

    def _pair_up(self, name: str) -> None:
        paired = {n for pair in self.pairs for n in pair}
        if name in paired:
            return
        names = self.names
        for pair in [(names[a], names[b]) for a, b in guess_pairs(names)] + pairs_of_mixed_names(names):
            if name in pair and not paired & set(pair):
                self.pairs.append(pair)
                return

    def retire(self, index: int) -> None:
        """Ask for it no more (labels are kept by the project)."""
        name = self.keypoints.pop(index).name
        self.edges = [e for e in self.edges if name not in e]
        self.pairs = [p for p in self.pairs if name not in p]

    def move(self, index: int, step: int) -> int:
        """Move a line up (-1) or down (+1); its new place."""
        target = min(max(index + step, 0), len(self.keypoints) - 1)
        self.keypoints.insert(target, self.keypoints.pop(index))
        return target

    def toggle_edge(self, a: str, b: str) -> None:
        """Join two keypoints, or part them."""
        kept = [e for e in self.edges if set(e) != {a, b}]
        self.edges = kept if len(kept) < len(self.edges) else [*self.edges, (a, b)]

    def twin(self, name: str) -> str:
        """The other side of a keypoint, or ""."""
        return next((b if a == name else a for a, b in self.pairs if name in (a, b)), "")

    def pair_up(self, row: int, other: str) -> None:
        """Make a keypoint and `other` ("": nobody) sides of each other: the one called "right", or the later, is right."""
        name = self.names[row]
        turned = bool(other) and ("right" in name.lower() or "left" in other.lower())
        left, right = (other, name) if turned else (name, other)
        self.set_pair(left, right)

    def set_pair(self, left: str, right: str) -> None:
        """Make a left/right pair; older pairs of either are dropped. `right` "" only drops."""
        self.pairs = [p for p in self.pairs if left not in p and (not right or right not in p)]
        if right and left != right:
            self.pairs.append((left, right))

    def suggest_pairs(self) -> int:
        """Pairs by name for keypoints that have none; how many were made."""
        before = len(self.pairs)
        for name in self.names:
            self._pair_up(name)
        for pair in glued_pairs(self.names):
            if not {n for known in self.pairs for n in known} & set(pair):
                self.pairs.append(pair)
        return len(self.pairs) - before

    def schema(self) -> KeypointSchema:
        """For the project; UserInputError when it does not fit together."""
        names = self.names
        if any(not n.strip() for n in names):
            raise UserInputError("A keypoint has no name.", "Name it or remove it.")
        place = {n: i for i, n in enumerate(names)}
        return KeypointSchema(
            tuple(names),
            tuple((place[a], place[b]) for a, b in self.edges),
            tuple((place[a], place[b]) for a, b in self.pairs),
        )

    @property
    def renamed(self) -> dict[str, str]:
        """Old name to new name."""
        return {k.was: k.name for k in self.keypoints if k.was and k.was != k.name}

    @property
    def colours(self) -> dict[str, str]:
        """Name to colour."""
        return {k.name: k.colour for k in self.keypoints if k.colour}
