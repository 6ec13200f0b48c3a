"""Signals in what earlier versions stored keep their meaning."""

from __future__ import annotations

from kinmark.engine.domain.proposals import SIGNALS_OF_BEFORE, KeypointSignals, stored_signals


def test_a_name_of_before_is_read_by_its_name_of_now() -> None:
    detail = {"signals": {"peak": 0.8, "cycle_px": 0.1, "margin": None}, "peaks": []}
    assert stored_signals(detail) == {"peak": 0.8, "cycle": 0.1}
    assert stored_signals({}) == {} == stored_signals({"signals": None})


def test_every_name_of_before_leads_to_a_signal_that_there_is() -> None:
    names = set(KeypointSignals.__dataclass_fields__)
    assert set(SIGNALS_OF_BEFORE.values()) <= names and not set(SIGNALS_OF_BEFORE) & names
