"""What the label check found, in the person's language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from kinmark.desktop.texts import marked

if TYPE_CHECKING:
    from kinmark.projects.workflows.check import Finding

CONTEXT = "Findings"
TEXTS: dict[str, str] = {
    "far": marked("Findings", "{name} looks unlike that of the other photos, or lies where none of them has it"),
    "swapped": marked("Findings", "{name} fits better where its left/right twin is"),
    "outside-mask": marked("Findings", "{name} lies outside the mask of its own instance"),
    "wrong-mask": marked("Findings", "Many keypoints lie outside the mask of this {category}"),
    "outside-image": marked("Findings", "{name} lies outside the photo"),
    "same-place": marked("Findings", "{name} lies exactly where another keypoint lies"),
    "duplicate": marked("Findings", "The same {category} seems to be labelled twice"),
}
"""By `Finding.kind`."""


def finding_text(finding: Finding) -> str:
    """One clause without a full stop; the check's own words where the kind is not known."""
    text = TEXTS.get(finding.kind)
    if text is None:
        return finding.reason
    return QCoreApplication.translate(CONTEXT, text).format(name=finding.keypoint, category=finding.category)
