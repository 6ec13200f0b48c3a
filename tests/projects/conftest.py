"""Every line of a report that a test of an import or export causes has a German translation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kinmark.projects.formats.dataset import ReportItem
from tests.support.german import english_in


@pytest.fixture(autouse=True)
def reports_have_german(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reports are shown in the window: what is not in the table would stand there in English."""
    told: dict[str, None] = {}
    make = ReportItem.__init__

    def watched(self: ReportItem, kind: str, where: str, reason: str) -> None:
        make(self, kind, where, reason)
        told.update(dict.fromkeys([*english_in(where), *english_in(reason, words=True)]))

    monkeypatch.setattr(ReportItem, "__init__", watched)
    yield
    assert not told, "python packaging/error_texts.py names the file; say it with said(template, values)"
