"""Key maps: defaults from the catalogue, presets from resources/keymaps, a person's own changes. No Qt."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from kinmark.desktop.actions.catalogue import ACTIONS, BY_ID
from kinmark.engine.domain.errors import KnownError
from kinmark.engine.domain.texts import said
from kinmark.engine.paths import resources_dir, settings_dir

Keys = dict[str, tuple[str, ...]]
DEFAULT_PRESET = "kinmark"


def presets() -> list[str]:
    """Names of the presets, ours first."""
    files = sorted(p.stem for p in (resources_dir() / "keymaps").glob("*.toml"))
    return [DEFAULT_PRESET, *(name for name in files if name != DEFAULT_PRESET)]


def default_keys() -> Keys:
    """The catalogue's keys."""
    return {spec.id: spec.keys for spec in ACTIONS}


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise KnownError(
            said("The key map {0} cannot be read.", path), "Delete it to get the standard keys.", str(error)
        ) from None


def _known(table: object) -> Keys:
    """Only entries that name an action and hold texts; anything else in a hand-written file is passed over."""
    if not isinstance(table, Mapping):
        return {}
    result: Keys = {}
    for action, keys in table.items():
        values = [keys] if isinstance(keys, str) else keys
        if action in BY_ID and isinstance(values, list) and all(isinstance(k, str) for k in values):
            result[action] = tuple(k for k in values if k)
    return result


def preset_keys(name: str) -> Keys:
    """All keys of a preset (the defaults where it says nothing); keys it takes are freed elsewhere."""
    keys = default_keys()
    path = resources_dir() / "keymaps" / f"{name}.toml"
    if name == DEFAULT_PRESET and not path.exists():
        return keys
    return merged(keys, _known(_read(path).get("keys")))


def merged(base: Keys, changes: Keys) -> Keys:
    """`base` with `changes`; a key taken by a change is removed from every action that it was not given to."""
    taken = {key for keys in changes.values() for key in keys}
    result = {action: tuple(k for k in keys if k not in taken) for action, keys in base.items()}
    result.update(changes)
    return result


def user_file() -> Path:
    """Where a person's own key map is kept."""
    return settings_dir() / "keymap.toml"


def load_keys() -> tuple[str, Keys]:
    """The chosen preset's name and the keys in force."""
    path = user_file()
    if not path.exists():
        return DEFAULT_PRESET, preset_keys(DEFAULT_PRESET)
    data = _read(path)
    preset = data.get("preset")
    name = preset if isinstance(preset, str) and preset in presets() else DEFAULT_PRESET
    return name, {**preset_keys(name), **_known(data.get("keys"))}


def save_keys(preset: str, keys: Keys) -> None:
    """Keep what differs from the preset."""
    base = preset_keys(preset)
    lines = [f'preset = "{preset}"', "", "[keys]"]
    for action, sequences in sorted(keys.items()):
        if sequences != base.get(action, ()):
            quoted = ", ".join('"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"' for s in sequences)
            lines.append(f'"{action}" = [{quoted}]')
    path = user_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def clashes(keys: Keys) -> dict[str, tuple[str, ...]]:
    """Key sequences that start more than one action, with those actions."""
    users: dict[str, list[str]] = defaultdict(list)
    for action, sequences in keys.items():
        for sequence in sequences:
            users[sequence.casefold()].append(action)
    return {key: tuple(actions) for key, actions in users.items() if len(actions) > 1}
