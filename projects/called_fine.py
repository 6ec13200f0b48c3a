"""Labels that the check found and a person called fine: they are not found again while they stay where they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kinmark.projects.store.queries import Queries

if TYPE_CHECKING:
    from kinmark.projects.workflows.check import Finding

FINE = "check.fine"
"""Setting: name of the finding -> `[x, y]` (xy_image) of its keypoint then, None for findings about a whole instance."""


def with_fine(queries: Queries, finding: Finding) -> dict[str, list[float] | None]:
    """The setting with this label called fine, too."""
    return {**_fine(queries), _name_of(finding): _place_of(queries, finding)}


def split_fine(queries: Queries, findings: Iterable[Finding]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Findings to look at, and those that a person called fine; both in their order."""
    fine = _fine(queries)
    left: list[Finding] = []
    called: list[Finding] = []
    for finding in findings:
        (called if _is_fine(queries, finding, fine) else left).append(finding)
    return tuple(left), tuple(called)


def _fine(queries: Queries) -> Mapping[str, list[float] | None]:
    found = queries.setting(FINE)
    return found if isinstance(found, dict) else {}


def _name_of(finding: Finding) -> str:
    other = f":{finding.other_id}" if finding.other_id is not None else ""
    return f"{finding.instance_id}:{finding.keypoint}:{finding.kind}{other}"


def _place_of(queries: Queries, finding: Finding) -> list[float] | None:
    """Where the keypoint of a finding lies now (None: absent, or the finding is about the whole instance)."""
    instance, category = queries.instance(finding.instance_id), queries.category(finding.category)
    definition = next((d.id for d in category.definitions if d.name == finding.keypoint), None) if category else None
    row = next((k for k in instance.keypoints if k.definition_id == definition), None) if instance else None
    return [round(row.x, 1), round(row.y, 1)] if row is not None and row.x is not None and row.y is not None else None


def _is_fine(queries: Queries, finding: Finding, fine: Mapping[str, list[float] | None]) -> bool:
    name = _name_of(finding)
    return name in fine and fine[name] == _place_of(queries, finding)
