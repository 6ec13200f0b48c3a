"""Seeded damage: to bytes, and to the structure of JSON, XML, CSV and YAML texts."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

# Set by hand: a hundred odd values, one under the other, would be six pages that nobody reads.
NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 7, 255, 256, 65535, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, 2**64, 10**18, 10**300, -(2**31), 0.5, -0.0,
    1e-320, 1e308, 1e15, 1e7, 1e6, 123456.789,
)  # fmt: skip
WORDS: tuple[Any, ...] = (
    "", " ", "0", "-1", "nan", "NaN", "inf", "-Infinity", "1e999", "true", "null", "a", "é", "\u0000", "\ud800", "\u202e", "\n",
    "../../etc/passwd", "/etc/passwd", "C:\\x", "\\\\host\\share", "..", ".", "~", "con", "x" * 300, "x" * 5000, "🙂",
    "%s%n", "'; DROP TABLE image; --", "<b>", "&amp;", "${x}", "{0}", "a/b", "a-b", "a:b", "[a]", "*",
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    None, True, False, [], {}, [[]], [None], {"": None}, [[[[[]]]]], [0] * 1000, {"a": 1}, ["a"], [1, 2], [1.5, 2.5, 2], [-1] * 6,
)  # fmt: skip


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to six random edits of raw bytes."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        place = rng.randrange(len(result) + 1)
        kind = rng.randrange(8)
        span = min(len(result) - place, rng.choice((1, 1, 2, 4, 8, 64, 1000)))
        if kind == 0 and place < len(result):
            result[place] ^= 1 << rng.randrange(8)
        elif kind == 1 and place < len(result):
            result[place] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            del result[place : place + span]
        elif kind == 3:
            result[place:place] = rng.randbytes(rng.choice((1, 2, 4, 16)))
        elif kind == 4:
            result[place:place] = result[place : place + span] * rng.choice((1, 2, 50))
        elif kind == 5:
            del result[place:]
        elif kind == 6:
            value = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 0x7FFF, 0xFFFF, 1000000))
            result[place : place + 4] = value.to_bytes(4, rng.choice(("little", "big")))
        else:
            other = rng.randrange(len(result) + 1)
            result[place : place + span] = result[other : other + span]
    return bytes(result)


def _nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, child in value.items():
            found += _nodes(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value[:60]):
            found += _nodes(child, (*path, index))
    return found


def _strange(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(rng.choice((NUMBERS, WORDS, OTHERS))))


def mutate_json_value(value: Any, rng: random.Random) -> Any:
    """Replace, remove, double or exchange one to three nodes of a JSON value."""
    root = {"": copy.deepcopy(value)}
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        paths = [p for p in _nodes(root) if p]
        path = rng.choice(paths)
        parent: Any = root
        for key in path[:-1]:
            parent = parent[key]
        key, kind = path[-1], rng.randrange(8)
        if kind <= 3:
            parent[key] = _strange(rng)
        elif kind == 4 and path != ("",):
            del parent[key]
        elif kind == 5 and isinstance(parent, list):
            parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
        elif kind == 6 and isinstance(parent, list):
            other = rng.randrange(len(parent))
            parent[key], parent[other] = parent[other], parent[key]
        elif isinstance(parent, dict) and path != ("",):
            parent[str(rng.choice(WORDS))] = _strange(rng)
    return root.get("")


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """Structural damage of a JSON text; now and then literals that JSON does not know."""
    text = json.dumps(mutate_json_value(json.loads(data), rng))
    if rng.random() < 0.1:
        text = re.sub(r"\d+", lambda m: rng.choice(("NaN", "Infinity", "1e999", m.group())), text, count=1)
    return text.encode("utf-8", "surrogatepass")


def mutate_text(data: bytes, rng: random.Random) -> bytes:
    """Replace attribute values, numbers, cells or lines of XML, CSV, YAML or plain text."""
    text = data.decode("utf-8", "replace")
    for _ in range(rng.choice((1, 1, 2, 4))):
        kind = rng.randrange(5)
        strange = str(rng.choice(rng.choice((NUMBERS, WORDS))))
        if kind == 0:
            tokens = list(re.finditer(r"-?\d+\.?\d*", text))
        elif kind == 1:
            tokens = list(re.finditer(r'(?<=")[^"\n]*(?=")', text))
        elif kind == 2:
            tokens = list(re.finditer(r"[^,;\s<>\"=/]+", text))
        else:
            lines = text.split("\n")
            place = rng.randrange(len(lines))
            if kind == 3:
                lines[place : place + 1] = [lines[place]] * rng.choice((0, 2, 5))
            else:
                lines.insert(place, rng.choice(lines))
            text = "\n".join(lines)
            continue
        if tokens:
            token = rng.choice(tokens)
            text = text[: token.start()] + strange + text[token.end() :]
    return text.encode("utf-8", "surrogatepass")


Mutation = Callable[[bytes, random.Random], bytes]


def mutation_for(name: str, rng: random.Random) -> Mutation:
    """A suitable mutation for a file of this name; raw bytes for a third of all cases."""
    suffix = name.rsplit(".", 1)[-1].lower()
    if rng.random() < 0.3:
        return mutate_bytes
    if suffix == "json":
        return mutate_json
    if suffix in ("xml", "csv", "txt", "yaml", "yml"):
        return mutate_text
    return mutate_bytes
