"""YAML from strangers: safe loader, no aliases (a few nested ones stand for billions of nodes), bounded size."""

from __future__ import annotations

from pathlib import Path

import yaml

from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import bad
from kinmark.projects.formats.checks import Item

MAX_YAML = 5_000_000
MAX_NESTING = 50


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
        return Item(file, file.name, yaml.safe_load(text))
    except RecursionError:
        raise bad(file, "", "it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError) as error:
        # PyYAML's constructors raise the latter on odd scalars (dates, sexagesimal numbers, unhashable keys).
        raise bad(file, "", said("it is not valid YAML ({0})", str(error)[:200])) from None
