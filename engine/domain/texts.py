"""Sentences that know what they were made from: a template, and what was filled in. Whoever shows them may translate them."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    given = {str(number): value for number, value in enumerate(values)} | named
    return Text(template, {k: v if isinstance(v, str) else str(v) for k, v in given.items()}, n)


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its fields filled in; fields without a value stay as they are."""
    return _FIELD.sub(lambda field: values.get(field[1], field[0]), template)
