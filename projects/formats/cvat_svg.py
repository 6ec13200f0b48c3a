"""CVAT's drawing of a skeleton label: which joints its lines join."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape

_TAG = re.compile(r"<(line|circle)\b([^>]*)>")
_FIELD = re.compile(r'data-(node-from|node-to|node-id|label-name)="([^"]*)"')


def edges_of(svg: str, names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Edges as indices into `names`, the label's joints.

    A line names two nodes; a node is the joint that its circle names, else that of its number from 1. Other attributes may
    stand between (CVAT writes stroke-width there).
    """
    place = {name: index for index, name in enumerate(names)}
    lines: list[dict[str, str]] = []
    joints = {str(index + 1): index for index in range(len(names))}
    for tag, attributes in _TAG.findall(svg):
        fields = dict(_FIELD.findall(attributes))
        if tag == "line":
            lines.append(fields)
        elif unescape(fields.get("label-name", "")) in place:
            joints[fields.get("node-id", "")] = place[unescape(fields["label-name"])]
    found: list[tuple[int, int]] = []
    for fields in lines:
        a, b = (joints.get(fields.get(end, "")) for end in ("node-from", "node-to"))
        if a is not None and b is not None and a != b and (a, b) not in found:
            found.append((a, b))
    return tuple(found)
