"""The model card is written from the figures and from what the shipped folder says about itself."""

from __future__ import annotations

from pathlib import Path

from benchmarks.training.card import FOLDER, collect_facts, gain_table, quality_table, write_card

ROWS = [
    {"name": "synthetic PCK@0.1 per image: model alone", "value": 30.04, "note": "± 1.20, 220 pairs"},
    {"name": "synthetic PCK@0.1 per image: shipped fusion", "value": 33.0, "note": "± 1.30, 220 pairs"},
    {"name": "synthetic PCK@0.1: fusion minus model alone", "value": 2.96, "note": "± 0.50, paired"},
    {"name": "instances, mean IoU: natural cells alone", "value": 50.0, "note": "± 2.00, 60 scenes"},
    {"name": "instances, mean IoU: model alone", "value": 40.0, "note": "± 2.00, 60 scenes"},
]


def test_tables_put_arms_into_columns() -> None:
    assert "| synthetic PCK@0.1 per image |  |  |  |  | 30.0 ± 1.20 | 33.0 ± 1.30 |" in quality_table(ROWS)
    assert "| synthetic PCK@0.1 |  |  |  |  | 3.0 ± 0.50 |" in gain_table(ROWS)
    assert "| instances, mean IoU |  |  |  | 50.0 ± 2.00 | 40.0 ± 2.00 |  |" in quality_table(ROWS)


def test_the_card_describes_the_shipped_folder(tmp_path: Path) -> None:
    facts = collect_facts(FOLDER)
    assert facts["size"] < 20
    assert facts["steps"] > 1000
    figures = {"rows": ROWS, "machine": {"cpu": "some processor"}}
    text = write_card(figures, facts, tmp_path / "README.md")
    assert "220 pairs" in text
    assert "{" not in text.replace("{category}", "")
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text
