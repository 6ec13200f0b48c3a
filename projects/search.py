"""The search box: plain words are parts of the file name, `key:value` narrows by content."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace

from kinmark.projects.store.models import DOUBT
from kinmark.projects.store.queries.images import EXHAUSTIVE, ImageFilter
from kinmark.projects.store.rows import CategoryRow

KEYS = ("conf", "kp", "lacks", "tag", "state", "id", "split", "category", "file", "all", "n")


@dataclass(frozen=True)
class Search:
    """What was understood: the filter, and one sentence for each word that was not."""

    filter: ImageFilter
    problems: tuple[str, ...] = ()


def parse_search(
    text: str,
    base: ImageFilter,
    *,
    categories: tuple[CategoryRow, ...],
    identity_id: Callable[[str], int | None] = lambda _name: None,
) -> Search:
    """`conf:<0.5 kp:nose lacks:left_ear tag:x state:pending id:Pip split:train category:otter file:missing all:no n:>1 words`.

    `all:` yes, no or unknown: whether all instances are labelled; `n:` how many are: 3, >2, <5 (of `category:`, where given).
    `base` is the filter chosen in the list; the search narrows it. Quotes hold blanks together. `kp:` asks for photos with
    that keypoint, `lacks:` for those whose instances lack it. A word with a key that is not known is looked for in the
    file names, and told.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    filter_, plain, problems = base, [], []
    for word in words:
        key, colon, value = word.partition(":")
        if not colon or key.casefold() not in KEYS:
            plain.append(word)
            if colon and key.isalpha():
                problems.append(word)
            continue
        narrowed = _narrow(filter_, key.casefold(), value, categories, identity_id)
        if narrowed is None:
            problems.append(word)
        else:
            filter_ = narrowed
    if plain:
        filter_ = replace(filter_, text=" ".join(plain))
    return Search(filter_, tuple(problems))


def _narrow(
    filter_: ImageFilter,
    key: str,
    value: str,
    categories: tuple[CategoryRow, ...],
    identity_id: Callable[[str], int | None],
) -> ImageFilter | None:
    if not value:
        return None
    if key == "conf":
        try:
            return replace(filter_, below=float(value.lstrip("<")))
        except ValueError:
            return None
    if key == "tag":
        return replace(filter_, tag=value)
    if key == "split":
        return replace(filter_, split=value)
    if key == "state":
        if value == "doubt":
            return replace(filter_, below=DOUBT)
        return replace(filter_, state=value) if value in ("unseen", "pending", "partly", "done", "nothing") else None
    if key == "all":
        return replace(filter_, exhaustive=value.casefold()) if value.casefold() in EXHAUSTIVE else None
    if key == "n":
        return _number_of_instances(filter_, value)
    if key == "file":
        return replace(filter_, file_state=value) if value in ("ok", "changed", "missing") else None
    if key == "id":
        found = identity_id(value)
        return None if found is None else replace(filter_, identity_id=found)
    if key == "category":
        category = next((c for c in categories if c.name.casefold() == value.casefold()), None)
        return None if category is None else replace(filter_, category_id=category.id)
    definition = next((d for c in categories for d in c.definitions if d.name.casefold() == value.casefold()), None)
    if definition is None:
        return None
    if key == "kp":
        return replace(filter_, definition_id=definition.id)
    return replace(filter_, missing_definition_id=definition.id)


def _number_of_instances(filter_: ImageFilter, value: str) -> ImageFilter | None:
    """`3`, `>2` or `<5`; None for anything else."""
    digits = value.lstrip("<>")
    if len(value) - len(digits) > 1 or not (digits.isascii() and digits.isdigit() and len(digits) < 6):
        return None
    count = int(digits)
    if value.startswith(">"):
        return replace(filter_, at_least=count + 1)
    if value.startswith("<"):
        return replace(filter_, at_most=count - 1)
    return replace(filter_, at_least=count, at_most=count)
