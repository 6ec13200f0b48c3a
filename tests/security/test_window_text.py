"""File names and other data are shown as text, never as markup."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HOSTILE = ("<b>bold</b>", "a <img src='file:///etc/passwd'>", "<a href='x'>y</a>.png")


@pytest.mark.parametrize("text", HOSTILE)
def test_tooltips_and_labels_do_not_interpret_names(text: str, qtbot) -> None:
    from PySide6.QtGui import Qt, QTextDocument

    from kinmark.desktop.widgets.message_bar import plain_label, plain_tip

    label = plain_label(text)
    qtbot.addWidget(label)
    assert label.textFormat() == Qt.TextFormat.PlainText and label.text() == text
    shown = QTextDocument()
    shown.setHtml(plain_tip(text))  # what QToolTip does with text that might be rich
    assert shown.toPlainText() == text
    assert plain_tip("photo 1.png") == "photo 1.png"


def test_raw_data_does_not_become_a_tooltip(repository: Path) -> None:
    """A tooltip is a translated text, an attribute made from one, or goes through plain_tip."""
    for path in sorted((repository / "desktop").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".setToolTip"):
                text = ast.unparse(node.args[0])
                assert "file_name" not in text or text.startswith("plain_tip("), f"{path}:{node.lineno}: {text}"
                assert not text.startswith("str("), f"{path}:{node.lineno}: {text}"
