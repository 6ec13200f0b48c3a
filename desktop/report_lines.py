"""What an import or an export skipped, changed or lost, as lines in the window's language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from kinmark.desktop.error_texts import in_language
from kinmark.desktop.texts import marked

if TYPE_CHECKING:
    from kinmark.projects.formats.dataset import ReportItem

CONTEXT = "Reports"
KINDS: dict[str, str] = {
    "skipped": marked("Reports", "skipped"),
    "changed": marked("Reports", "changed"),
    "lost": marked("Reports", "lost"),
    "flagged": marked("Reports", "flagged"),
    "kept": marked("Reports", "kept"),
    "note": marked("Reports", "note"),
}
"""By `ReportItem.kind`."""
SHOWN = 400


def report_lines(items: Sequence[ReportItem]) -> str:
    """One line each: kind, where, why; only counted beyond SHOWN. "" without any."""
    lines = [f"{_kind(item.kind)}: {in_language(item.where)}: {in_language(item.reason)}" for item in items[:SHOWN]]
    if len(items) > SHOWN:
        more = QCoreApplication.translate(CONTEXT, "... {n} more")
        lines.append(more.format(n=len(items) - SHOWN))
    return "\n".join(lines)


def _kind(kind: str) -> str:
    return QCoreApplication.translate(CONTEXT, KINDS[kind]) if kind in KINDS else kind
