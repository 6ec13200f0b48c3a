"""What a step of the undo list is called in the person's language.

The store names its steps in plain English (`projects.store.operations`), with counts and names already in them.
Here those are taken apart again, so that the text can be translated; a name that is not known stays as it is.
"""

from __future__ import annotations

import re

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

CONTEXT = "Operations"

NAMES: tuple[str, ...] = (
    QT_TRANSLATE_NOOP("Operations", "Accept %n keypoints"),
    QT_TRANSLATE_NOOP("Operations", "Accept a keypoint"),
    QT_TRANSLATE_NOOP("Operations", "Accept proposals"),
    QT_TRANSLATE_NOOP("Operations", "Accept the changed file"),
    QT_TRANSLATE_NOOP("Operations", "Add %n images"),
    QT_TRANSLATE_NOOP("Operations", "Add %n instances"),
    QT_TRANSLATE_NOOP("Operations", "Add an image folder"),
    QT_TRANSLATE_NOOP("Operations", "Add an instance"),
    QT_TRANSLATE_NOOP("Operations", "Add the category {name}"),
    QT_TRANSLATE_NOOP("Operations", "Add the identity {name}"),
    QT_TRANSLATE_NOOP("Operations", "Add the keypoint {name}"),
    QT_TRANSLATE_NOOP("Operations", "Assign the identity"),
    QT_TRANSLATE_NOOP("Operations", "Change a setting"),
    QT_TRANSLATE_NOOP("Operations", "Change the category"),
    QT_TRANSLATE_NOOP("Operations", "Change visibility"),
    QT_TRANSLATE_NOOP("Operations", "Check the image files"),
    QT_TRANSLATE_NOOP("Operations", "Clear nothing here"),
    QT_TRANSLATE_NOOP("Operations", "Clear proposals"),
    QT_TRANSLATE_NOOP("Operations", "Clear the identity"),
    QT_TRANSLATE_NOOP("Operations", "Confirm {name}"),
    QT_TRANSLATE_NOOP("Operations", "Copy the instance"),
    QT_TRANSLATE_NOOP("Operations", "Copy the instance to %n photos"),
    QT_TRANSLATE_NOOP("Operations", "Deny the identity"),
    QT_TRANSLATE_NOOP("Operations", "Drop the template"),
    QT_TRANSLATE_NOOP("Operations", "Edit attributes"),
    QT_TRANSLATE_NOOP("Operations", "Edit the box"),
    QT_TRANSLATE_NOOP("Operations", "Edit the left/right pairs"),
    QT_TRANSLATE_NOOP("Operations", "Edit the mask"),
    QT_TRANSLATE_NOOP("Operations", "Edit the schema"),
    QT_TRANSLATE_NOOP("Operations", "Edit the skeleton"),
    QT_TRANSLATE_NOOP("Operations", "Find an instance"),
    QT_TRANSLATE_NOOP("Operations", "Find {name}"),
    QT_TRANSLATE_NOOP("Operations", "Import {name}"),
    QT_TRANSLATE_NOOP("Operations", "Improve suggestions"),
    QT_TRANSLATE_NOOP("Operations", "Improve {name}"),
    QT_TRANSLATE_NOOP("Operations", "Make the sample project"),
    QT_TRANSLATE_NOOP("Operations", "Mark as nothing here"),
    QT_TRANSLATE_NOOP("Operations", "Merge identities"),
    QT_TRANSLATE_NOOP("Operations", "Mirror the instance"),
    QT_TRANSLATE_NOOP("Operations", "Move a keypoint"),
    QT_TRANSLATE_NOOP("Operations", "Paste"),
    QT_TRANSLATE_NOOP("Operations", "Place a keypoint"),
    QT_TRANSLATE_NOOP("Operations", "Propose keypoints"),
    QT_TRANSLATE_NOOP("Operations", "Propose {name}"),
    QT_TRANSLATE_NOOP("Operations", "Propose {name} with the tuned prompt"),
    QT_TRANSLATE_NOOP("Operations", "Re-link %n images"),
    QT_TRANSLATE_NOOP("Operations", "Re-link an image"),
    QT_TRANSLATE_NOOP("Operations", "Re-link {name}"),
    QT_TRANSLATE_NOOP("Operations", "Reject %n keypoints"),
    QT_TRANSLATE_NOOP("Operations", "Reject a keypoint"),
    QT_TRANSLATE_NOOP("Operations", "Reject proposals"),
    QT_TRANSLATE_NOOP("Operations", "Remove %n images"),
    QT_TRANSLATE_NOOP("Operations", "Remove %n instances"),
    QT_TRANSLATE_NOOP("Operations", "Remove %n keypoints"),
    QT_TRANSLATE_NOOP("Operations", "Remove a category"),
    QT_TRANSLATE_NOOP("Operations", "Remove a keypoint"),
    QT_TRANSLATE_NOOP("Operations", "Remove an identity"),
    QT_TRANSLATE_NOOP("Operations", "Remove an instance"),
    QT_TRANSLATE_NOOP("Operations", "Remove the mask"),
    QT_TRANSLATE_NOOP("Operations", "Rename a category to {name}"),
    QT_TRANSLATE_NOOP("Operations", "Rename a keypoint to {name}"),
    QT_TRANSLATE_NOOP("Operations", "Rename an identity to {name}"),
    QT_TRANSLATE_NOOP("Operations", "Reorder the keypoints"),
    QT_TRANSLATE_NOOP("Operations", "Retire a keypoint"),
    QT_TRANSLATE_NOOP("Operations", "Set the split"),
    QT_TRANSLATE_NOOP("Operations", "Split an identity"),
    QT_TRANSLATE_NOOP("Operations", "Swap left and right"),
    QT_TRANSLATE_NOOP("Operations", "Tag {name}"),
    QT_TRANSLATE_NOOP("Operations", "Untag {name}"),
)
"""Every name the store gives; tests/desktop/test_translation.py compares them with its source."""


def _pattern(text: str) -> re.Pattern[str]:
    escaped = re.escape(text).replace(re.escape("%n"), r"(?P<n>\d+)").replace(re.escape("{name}"), r"(?P<name>.*)")
    return re.compile(escaped, re.DOTALL)


_PATTERNS = [(text, _pattern(text)) for text in sorted(NAMES, key=len, reverse=True)]


def operation_text(name: str) -> str:
    """`name` of an undo step in the language of the window."""
    for text, pattern in _PATTERNS:
        found = pattern.fullmatch(name)
        if found is not None:
            parts = found.groupdict()
            count = int(parts["n"]) if "n" in parts else -1
            shown = QCoreApplication.translate(CONTEXT, text, None, count)
            return shown.replace("{name}", parts["name"]) if "name" in parts else shown
    return name
