"""Key maps, settings, search words, schema drafts, stacks: logic without a window."""

from __future__ import annotations

from pathlib import Path

import pytest

from desktop.actions.catalogue import ACTIONS, BY_ID, MENUS
from desktop.actions.keymap import clashes, default_keys, load_keys, merged, preset_keys, presets, save_keys, user_file
from desktop.pages.stacks import stacked
from desktop.session.schema_draft import DraftKeypoint, SchemaDraft
from desktop.session.search import parse_search
from desktop.session.templates import TEMPLATES
from desktop.settings import Settings, format_settings, parse_settings
from desktop.widgets.crop_grid import CropCard
from engine.domain.errors import KnownError, UserInputError
from engine.paths import resources_dir
from projects.store.queries.images import ImageFilter
from projects.store.rows import CategoryRow, DefinitionRow


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


def test_near_duplicates_are_stacked() -> None:
    def card(key: int, likeness: float, x: float, folder: str = "a") -> CropCard:
        return CropCard(key, key, Path(folder) / f"{key}.jpg", (x, 0, x + 100, 100), likeness=likeness)

    cards = (card(1, 0.90, 0), card(2, 0.89, 5), card(3, 0.70, 0), card(4, 0.90, 0, "b"))
    folded = stacked(cards)
    assert [(c.key, c.stack) for c in folded] == [(1, 2), (3, 1), (4, 1)]
    assert [c.key for c in stacked(cards, members_of=1)] == [1, 2]


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
