"""Imports and exports in the German window: nothing of what their reports say is English."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QLocale, Qt, QTranslator
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from kinmark.desktop import error_texts
from kinmark.desktop.app import install_translation
from kinmark.desktop.settings import Settings, format_settings, settings_file
from kinmark.projects.project import Project
from tests.support.exchange import photo
from tests.support.window import Driver, make_photos, make_project


@pytest.fixture
def german_driver(qapp: QApplication, make_driver: Callable[..., Driver], tmp_path: Path) -> Iterator[Driver]:
    """A German window with a project of four photos, two labelled."""
    kept = QLocale()
    settings_file().parent.mkdir(parents=True, exist_ok=True)
    settings_file().write_text(format_settings(Settings(language="de")), encoding="utf-8")
    folder = make_project(tmp_path / "figuren.kinmark", make_photos(tmp_path / "photos"), labelled=2)
    driver = make_driver()
    assert driver.window.open_project(folder)
    driver.photo_shown()
    yield driver
    for translator in qapp.findChildren(QTranslator):
        qapp.removeTranslator(translator)
    install_translation(qapp, "en")
    QLocale.setDefault(kept)


def english_pieces(shown: str) -> list[str]:
    """What stands between the fields of an English template, is long enough to be English, and is shown all the same."""
    table = error_texts._table("de")
    german = "\n".join(table.values())
    pieces = {piece for english in table for piece in re.split(r"\{\d\}|%n", english)}
    return [p for p in pieces if len(p.split()) > 2 and p not in german and p in shown]


def test_there_are_pieces_to_look_for() -> None:
    assert english_pieces("kept: a.jpg: the project's labels differ from the file's and stay") != []
    assert english_pieces("behalten: a.jpg: die Beschriftungen des Projekts") == []


def odd_coco(folder: Path) -> Path:
    """A COCO file with much to say about."""
    photo(folder / "turned.jpg", 100, 200, orientation=6)
    instance = {"category_id": 1, "keypoints": [10, 10, 2, 300, 5, 2, 7, 7, 0, 0, 0, 1], "num_keypoints": 4}
    data: dict[str, Any] = {
        "images": [
            {"id": 1, "file_name": "photo_0.png", "width": 240, "height": 180},
            {"id": 2, "file_name": "photo_1.png"},
            {"id": 3, "file_name": "gone.png", "width": 240, "height": 180},
            {"id": 4, "file_name": "turned.jpg"},
            {"id": 5, "file_name": "photo_2.png", "width": 240, "height": 180},
        ],
        "categories": [
            {"id": 1, "name": "wolf", "keypoints": ["n", "", "n", "t"], "skeleton": [[0, 1], [1, 1]]},
            {"id": "x", "name": "wolf"},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, **instance},
            {"id": 1, "image_id": 1, **instance},
            {"id": 0, "image_id": 2, "category_id": 1, "bbox": [1, 1, 0, 0]},
            {"id": "b", "image_id": 3, **instance},
            {"id": 5, "image_id": 4, **instance},
            {"id": 6, "image_id": 5, "category_id": 1, "bbox": [230, 170, 90, 90]},
            {"id": 7, "image_id": 5, "category_id": 1, "segmentation": {"size": [3, 3], "counts": "x"}},
            {"id": 8, "image_id": 5, "category_id": 1, "bbox": [1, 1, "a", 4]},
            {"image_id": 5, "category_id": 1, "segmentation": [1, 1, 9, 1, 9, 9]},
        ],
    }
    file = folder / "labels.json"
    file.write_text(json.dumps(data))
    return file


def test_the_preview_of_an_import_is_german(german_driver: Driver, tmp_path: Path) -> None:
    driver, file = german_driver, odd_coco(tmp_path / "photos")
    driver.window.registry["project.import"].trigger()
    dialog = driver.window.commands.dialogs.dialog("import")
    dialog.file.setFocus()
    QTest.keyClicks(dialog.file, str(file))
    dialog.skip_bad.setChecked(True)
    QTest.mouseClick(dialog.look, Qt.MouseButton.LeftButton)
    driver.until(dialog.report.toPlainText)
    text = dialog.report.toPlainText()
    assert english_pieces(text) == []
    lines = text.splitlines()
    for line in (
        "geändert: Kategorie 1: der Keypoint-Name „n“ steht zweimal; der spätere ist jetzt „n#2“",
        "ausgelassen: gone.png: kein solches Foto im Projekt oder im Bildordner (falls es woanders liegt: --images)",
        "auffällig: 1 × Instanz, die zweimal dasteht: dasselbe „wolf“ an derselben Stelle; beide behalten "
        "(zuerst: photo_0.png)",
    ):
        assert line in lines
    assert any(line.startswith("ausgelassen: Annotation 8: ") and "muss eine Zahl sein" in line for line in lines)
    kinds = {line.partition(":")[0] for line in lines if line.count(":") > 1}
    assert kinds >= {"geändert", "ausgelassen", "auffällig", "Hinweis", "verloren"}
    dialog.close()


def test_a_refused_file_is_refused_in_german(german_driver: Driver, tmp_path: Path) -> None:
    driver, file = german_driver, odd_coco(tmp_path / "photos")
    driver.window.registry["project.import"].trigger()
    dialog = driver.window.commands.dialogs.dialog("import")
    dialog.file.setText(str(file))
    QTest.mouseClick(dialog.look, Qt.MouseButton.LeftButton)
    driver.until(dialog.report.toPlainText)
    text = dialog.report.toPlainText()
    assert english_pieces(text) == [] and "(Annotation " in text and str(file) in text
    dialog.close()


def test_the_previews_of_all_exports_are_german(german_driver: Driver, tmp_path: Path) -> None:
    driver = german_driver
    with Project.open(driver.space.folder) as project:  # a photo of another kind, an outline, an individual, a proposal
        first = project.queries.instances()[0]
        identity = project.operations.add_identity("Rex").ids[0]
        project.operations.assign_identity([first.id], identity)
        project.operations.set_split({first.image_id: "train"})
        project.operations.retire_keypoint(project.queries.categories()[0].definition_ids[-1])
    driver.key(Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    dialog = driver.window.commands.dialogs.dialog("export")
    seen: dict[str, str] = {}
    dialog.format.setFocus()
    for _ in range(dialog.format.count()):
        driver.until(dialog.report.toPlainText)
        seen[dialog.format.currentData()] = dialog.report.toPlainText()
        dialog.report.setPlainText("")
        driver.key(Qt.Key.Key_Down, widget=dialog.format)
    assert len(seen) == dialog.format.count() > 10
    assert {name: english_pieces(text) for name, text in seen.items()} == {name: [] for name in seen}
    assert (
        "verloren: Unterschied zwischen fehlend und nicht angesehen: beide sind leere Zellen"
        in seen["deeplabcut"].splitlines()
    )
    assert "verloren: 1 × Individuen: kein Platz dafür" in seen["voc"].splitlines()
    place = tmp_path / "aus"
    dialog.format.setCurrentIndex(dialog.format.findData("yolo-pose"))
    dialog.place.setText(str(place))
    QTest.mouseClick(dialog.export, Qt.MouseButton.LeftButton)
    driver.until(lambda: (place / "data.yaml").is_file() and dialog.export.isEnabled())
    assert english_pieces(dialog.report.toPlainText()) == []
    dialog.close()
