"""Sentences that know what they were made from: a template, and what was filled in. Whoever shows them may translate them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_FIELD = re.compile(r"\{(\w+)\}")


class Text(str):
    """An English sentence, used like any string; it remembers its template and the values of the template's fields.

    Attributes:
        template: English with `{0}`, `{name}` ... and, where it counts, `%n`.
        values: by field; those that are a `Text` themselves are translated, too.
        number: what `%n` stands for, or None.
    """

    template: str
    values: Mapping[str, str]
    number: int | None

    def __new__(cls, template: str, values: Mapping[str, str], number: int | None = None) -> Text:
        """The sentence itself is the template, filled in."""
        text = super().__new__(cls, filled(template if number is None else template.replace("%n", str(number)), values))
        text.template, text.values, text.number = template, values, number
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return Text, (self.template, self.values, self.number)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for `Text.from_json`."""
        return {"template": self.template, "values": {k: str(v) for k, v in self.values.items()}, "number": self.number}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Text:
        """What `to_json` gave."""
        return Text(str(data["template"]), {str(k): str(v) for k, v in data["values"].items()}, data["number"])


def said(template: str, *values: object, n: int | None = None, **named: object) -> Text:
    """A sentence from its template: `said("There is no file {0}.", path)`, `said("Add %n images", n=3)`."""
    given = {str(number): _value(value) for number, value in enumerate(values)}
    if named:
        given.update((name, _value(value)) for name, value in named.items())
    return Text(template, given, n)


def _value(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Exception) and len(value.args) == 1 and isinstance(value.args[0], Text):
        return value.args[0]
    return str(value)


def as_text(words: str) -> Text:
    """Words of the program that are no whole sentence ("hidden keypoints", "masks"): told apart from a person's by this."""
    return words if isinstance(words, Text) else Text(words, {})


def clause(sentence: str) -> str:
    """A sentence without its full stop, to stand inside another one."""
    if isinstance(sentence, Text):
        return Text(sentence.template.rstrip("."), sentence.values, sentence.number)
    return sentence.rstrip(".")


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its fields filled in; fields without a value stay as they are."""
    parts = _parts(template)
    if len(parts) == 1:
        return template
    return "".join(values.get(part, f"{{{part}}}") if place % 2 else part for place, part in enumerate(parts))


@lru_cache(maxsize=2000)
def _parts(template: str) -> tuple[str, ...]:
    """What stands between the fields, and every second one a field's name."""
    return tuple(_FIELD.split(template))
