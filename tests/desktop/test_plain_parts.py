"""Key maps, settings, search words, schema drafts, stacks: logic without a window."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from kinmark.desktop.actions.catalogue import ACTIONS, BY_ID
from kinmark.desktop.actions.keymap import (
    clashes,
    default_keys,
    load_keys,
    merged,
    preset_keys,
    presets,
    save_keys,
    user_file,
)
from kinmark.desktop.actions.spec import MENUS
from kinmark.desktop.io.looks import LookStore, make_look, same_moment
from kinmark.desktop.io.pool import IoPool
from kinmark.desktop.pages.stacks import stacked
from kinmark.desktop.session.templates import TEMPLATES
from kinmark.desktop.settings import Settings, format_settings, parse_settings
from kinmark.desktop.widgets.crop_grid import CropCard
from kinmark.engine.domain.errors import KnownError, UserInputError
from kinmark.engine.paths import resources_dir
from kinmark.projects.schema_draft import DraftKeypoint, SchemaDraft
from kinmark.projects.search import parse_search
from kinmark.projects.store.queries.images import ImageFilter
from kinmark.projects.store.rows import CategoryRow, DefinitionRow


def test_every_action_has_a_menu_a_text_a_help_and_its_icon() -> None:
    menus = {menu for menu, _ in MENUS}
    for spec in ACTIONS:
        assert spec.menu in menus and spec.text and spec.help, spec.id
        assert not spec.icon or (resources_dir() / "icons" / f"{spec.icon}.svg").exists(), spec.icon
    assert len(BY_ID) == len(ACTIONS)


@pytest.mark.parametrize("name", presets())
def test_no_preset_gives_one_key_to_two_actions(name: str) -> None:
    assert clashes(preset_keys(name)) == {}
    assert set(preset_keys(name)) == set(BY_ID)


def test_presets_keep_undo_and_accept_reachable() -> None:
    for name in presets():
        keys = preset_keys(name)
        for action in ("edit.undo", "review.accept", "review.reject", "go.next_image", "tool.keypoint", "help.keys"):
            assert keys[action], (name, action)


def test_a_key_given_to_one_action_is_taken_from_the_other() -> None:
    keys = merged(default_keys(), {"review.reject": ("D",)})
    assert keys["review.reject"] == ("D",) and "D" not in keys["go.next_image"]


def test_own_keys_survive_and_rubbish_is_told() -> None:
    keys = {**preset_keys("cvat"), "review.reject": ("Ctrl+\\", '"')}
    save_keys("cvat", keys)
    assert load_keys() == ("cvat", keys)
    user_file().write_text('preset = "gone"\n[keys]\n"review.accept" = ["Y"]\n"no.such" = ["Q"]\n"review.reject" = 7\n')
    name, loaded = load_keys()
    assert name == "kinmark" and loaded["review.accept"] == ("Y",) and loaded["review.reject"] == ("X",)
    user_file().write_bytes(b"\xff\x00 not toml")
    with pytest.raises(KnownError, match=r"keymap\.toml"):
        load_keys()


def test_settings_round_trip_and_limits() -> None:
    changed = Settings(theme="dark", font_scale=1.25, recent=("/a/b.kinmark", 'quote " \\ 😀'), live_improve=False)
    assert parse_settings(format_settings(changed)) == changed
    assert parse_settings(format_settings(Settings())) == Settings()
    odd = parse_settings(
        'font_scale = 9\nthreads = "many"\nshow_names = 3\nunknown = 1\nrecent = [1, 2]\ntheme = "dark"'
    )
    assert odd == Settings(font_scale=1.6, theme="dark")
    assert parse_settings("not = = toml") == Settings()


def category(names: tuple[str, ...]) -> CategoryRow:
    definitions = tuple(DefinitionRow(i + 1, n, i, "", False) for i, n in enumerate(names))
    return CategoryRow(1, "otter", "", "", 0, None, {}, definitions, (), (), ())


def test_search_words_narrow_the_filter() -> None:
    categories = (category(("nose", "left_ear")),)
    text = 'conf:<0.5 kp:nose lacks:left_ear tag:"two words" state:pending split:train category:OTTER beach 2024'
    found = parse_search(text, ImageFilter(), categories=categories)
    assert found.filter == ImageFilter(
        state="pending",
        below=0.5,
        definition_id=1,
        missing_definition_id=2,
        tag="two words",
        split="train",
        category_id=1,
        text="beach 2024",
    )
    assert found.problems == ()
    bad = parse_search("conf:x kp:tail id:Pip state:maybe a:b", ImageFilter(state="done"), categories=categories)
    assert bad.problems == ("conf:x", "kp:tail", "id:Pip", "state:maybe", "a:b")
    assert bad.filter == ImageFilter(state="done", text="a:b")
    assert parse_search('"open quote', ImageFilter(), categories=()).filter.text == '"open quote'
    named = parse_search("id:Pip", ImageFilter(), categories=(), identity_id=lambda name: 7 if name == "Pip" else None)
    assert named.filter.identity_id == 7


def test_schema_draft_renames_reorders_and_keeps_edges() -> None:
    draft = SchemaDraft([DraftKeypoint("nose", "nose"), DraftKeypoint("ear_l", "ear_l")], [("nose", "ear_l")])
    draft.add("ear_r")
    assert draft.pairs == [("ear_l", "ear_r")]
    assert draft.rename(1, "left_ear") and not draft.rename(2, "nose") and not draft.rename(2, "  ")
    assert draft.edges == [("nose", "left_ear")] and draft.renamed == {"ear_l": "left_ear"}
    assert draft.move(0, 1) == 1 and draft.names == ["left_ear", "nose", "ear_r"]
    draft.toggle_edge("ear_r", "nose")
    draft.toggle_edge("left_ear", "nose")
    assert draft.edges == [("ear_r", "nose")]
    draft.retire(2)
    assert draft.edges == [] and draft.pairs == []
    schema = draft.schema()
    assert schema.names == ("left_ear", "nose")
    draft.keypoints.append(DraftKeypoint(""))
    with pytest.raises(UserInputError):
        draft.schema()


def test_templates_are_whole() -> None:
    for template in TEMPLATES:
        assert len(template.layout) == len(template.schema)
        assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in template.layout)
    by_id = {t.id: t for t in TEMPLATES}
    assert len(by_id["person"].schema) == 17 and len(by_id["person"].schema.pairs) == 8
    assert len(by_id["hand"].schema) == 21 and len(by_id["animal20"].schema) == 20


def dog_photo(path: Path, fur: tuple[int, int, int], *, shift: int = 0, light: float = 1.0, taken: str = "") -> None:
    """A dog (two blobs, ears) that fills the frame before a meadow."""
    rng = np.random.default_rng(3)
    rgb = np.tile(np.linspace((120, 160, 220), (60, 120, 40), 240)[:, None], (1, 320, 1)) + rng.normal(
        0, 6, (240, 320, 3)
    )
    picture = np.ascontiguousarray(rgb.clip(0, 255).astype(np.uint8))
    for centre, axes in (((160, 160), (120, 70)), ((90, 90), (60, 50)), ((60, 50), (14, 30)), ((120, 50), (14, 30))):
        cv2.ellipse(picture, (centre[0] + shift, centre[1]), axes, 0, 0, 360, fur, -1)
    cv2.circle(picture, (75 + shift, 85), 6, (20, 20, 20), -1)
    image = Image.fromarray((picture * light).clip(0, 255).astype(np.uint8))
    exif = Image.Exif()
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken
    image.save(path, quality=90, exif=exif)


def test_near_duplicates_are_stacked_by_their_pictures_and_times(tmp_path: Path) -> None:
    brown, black, box = (150, 90, 40), (35, 35, 40), (20.0, 20.0, 300.0, 230.0)
    photos: dict[str, dict[str, Any]] = {
        "1": {"fur": brown},
        "2": {"fur": brown, "shift": 4, "light": 1.04},  # the next shot of a burst
        "3": {"fur": black},  # another dog that fills the frame as the first does
        "4": {"fur": brown, "taken": "2026:05:01 10:00:00"},
        "5": {"fur": brown, "shift": 3, "taken": "2026:05:01 10:00:01"},
        "6": {"fur": brown, "shift": 3, "taken": "2026:05:02 10:00:00"},  # the same pose another day
    }
    cards = []
    for key, made in photos.items():
        dog_photo(tmp_path / f"{key}.jpg", **made)
        cards.append(CropCard(int(key), int(key), tmp_path / f"{key}.jpg", box, likeness=0.9))
    twice = replace(cards[0], key=7, box=(150.0, 20.0, 310.0, 230.0))  # a second suggestion on the first photo
    looks = {c.key: make_look(c.path, c.box) for c in (*cards, twice)}
    assert looks[4].taken == datetime(2026, 5, 1, 10)
    folded = stacked((*cards[:3], twice), lambda c: looks[c.key])
    assert [(c.key, c.below, c.stack) for c in folded] == [(1, (2,), 2), (3, (), 1), (7, (), 1)]
    folded = stacked(tuple(cards[3:]), lambda c: looks[c.key])
    assert [(c.key, c.below) for c in folded] == [(4, (5,)), (6, ())]
    # Nothing is folded before its picture was compared, and two folders are two cameras.
    assert len(stacked(tuple(cards), lambda c: None)) == 6
    elsewhere = replace(cards[1], path=tmp_path / "other" / "2.jpg")
    assert len(stacked((cards[0], elsewhere), lambda c: looks[c.key])) == 2


def test_flat_pictures_are_alike_only_in_one_colour(tmp_path: Path) -> None:
    for name, colour in (("a", (90, 90, 90)), ("b", (92, 90, 90)), ("c", (180, 90, 90))):
        Image.new("RGB", (3, 2), colour).save(tmp_path / f"{name}.png")
    a, b, c = (make_look(tmp_path / f"{n}.png", (-5.0, -5.0, 50.0, 1.0)) for n in "abc")
    assert same_moment(a, b) and not same_moment(a, c) and a.taken is None


def test_looks_come_from_the_pool_and_an_unreadable_photo_is_never_folded(qapp: Any, tmp_path: Path) -> None:
    dog_photo(tmp_path / "a.jpg", (150, 90, 40))
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    pool, ready = IoPool(), []
    store = LookStore(pool, lambda: ready.append(1))
    try:
        box = (0.0, 0.0, 100.0, 100.0)
        assert store.get(tmp_path / "a.jpg", box) is None and store.get(tmp_path / "b.jpg", box) is None
        for _ in range(200):
            qapp.processEvents()
            if ready:
                break
            time.sleep(0.02)
        assert len(ready) == 1 and store.get(tmp_path / "a.jpg", box) is not None
        assert store.get(tmp_path / "b.jpg", box) is None
    finally:
        pool.close()


def test_german_is_there_and_english_is_what_is_left(qapp: object) -> None:
    from PySide6.QtCore import QCoreApplication, QLocale, QTranslator

    translator = QTranslator()
    assert translator.load(QLocale("de"), "kinmark", "_", str(resources_dir() / "translations"))
    assert QCoreApplication.installTranslator(translator)
    try:
        assert QCoreApplication.translate("Actions", "Undo") == "Rückgängig"
        assert QCoreApplication.translate("Actions", "Swap left and right") == "Links und rechts tauschen"
        assert QCoreApplication.translate("Actions", "100 %") == "100 %"
    finally:
        QCoreApplication.removeTranslator(translator)
