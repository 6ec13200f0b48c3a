"""YAML from strangers: safe loader, no aliases (a few nested ones stand for billions of nodes), bounded size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import bad
from kinmark.projects.formats.checks import Item

MAX_YAML = 5_000_000
MAX_NESTING = 50


class _Twice(ValueError):
    """A field stands twice in one mapping; PyYAML would keep the later one without a word."""


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _Twice(key.value[:80])
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_yaml(file: Path) -> Item:
    """The mapping at the top of a YAML file; ImportFileError for everything else."""
    text = checks.read_text(file, MAX_YAML)
    depth = 0
    try:
        for token in yaml.scan(text):
            if isinstance(token, yaml.AliasToken):
                raise bad(file, "", "it uses YAML aliases, which no annotation file needs")
            starts = yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken, yaml.FlowMappingStartToken
            depth += isinstance(token, (*starts, yaml.FlowSequenceStartToken))
            depth -= isinstance(token, yaml.BlockEndToken | yaml.FlowMappingEndToken | yaml.FlowSequenceEndToken)
            if depth > MAX_NESTING:
                raise bad(file, "", "it is nested too deeply")
        loader = _Loader(text)
        try:
            return Item(file, file.name, loader.get_single_data())
        finally:
            loader.dispose()
    except _Twice as error:
        what = said('the field "{0}" stands twice', error)
        raise bad(file, "", what, "Keep one of the two.") from None
    except RecursionError:
        raise bad(file, "", "it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError) as error:
        # PyYAML's constructors raise the latter on odd scalars (dates, sexagesimal numbers, unhashable keys).
        raise bad(file, "", said("it is not valid YAML ({0})", str(error)[:200])) from None
