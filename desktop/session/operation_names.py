"""What a step of the undo list is called in the person's language.

The store names its steps in English (`kinmark.projects.store.operations`): a plain sentence, or a `Text` that knows its template, its
count and its name. A name that is not known stays as it is.
"""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from kinmark.desktop.texts import marked
from kinmark.engine.domain.texts import Text

CONTEXT = "Operations"

NAMES: tuple[str, ...] = (
    marked("Operations", "Accept %n keypoints"),
    marked("Operations", "Accept %n keypoints and masks"),
    marked("Operations", "Accept %n masks"),
    marked("Operations", "Accept a keypoint"),
    marked("Operations", "Accept proposals"),
    marked("Operations", "Accept the changed file"),
    marked("Operations", "Add %n images"),
    marked("Operations", "Add %n instances"),
    marked("Operations", "Add an image folder"),
    marked("Operations", "Add an instance"),
    marked("Operations", "Add frames of {name}"),
    marked("Operations", "Add the category {name}"),
    marked("Operations", "Add the identity {name}"),
    marked("Operations", "Add the keypoint {name}"),
    marked("Operations", "Assign the identity"),
    marked("Operations", "Change a setting"),
    marked("Operations", "Change the category"),
    marked("Operations", "Change the number of instances"),
    marked("Operations", "Change the number of {name} in a photo"),
    marked("Operations", "Change visibility"),
    marked("Operations", "Check the image files"),
    marked("Operations", "Clear all labelled"),
    marked("Operations", "Clear nothing here"),
    marked("Operations", "Clear proposals"),
    marked("Operations", "Clear the identity"),
    marked("Operations", "Colour a keypoint"),
    marked("Operations", "Colour the keypoint {name}"),
    marked("Operations", "Confirm {name}"),
    marked("Operations", "Copy %n instances"),
    marked("Operations", "Copy the instance"),
    marked("Operations", "Copy the instance to %n photos"),
    marked("Operations", "Deny the identity"),
    marked("Operations", "Drop the template"),
    marked("Operations", "Edit attributes"),
    marked("Operations", "Edit the box"),
    marked("Operations", "Edit the left/right pairs"),
    marked("Operations", "Edit the mask"),
    marked("Operations", "Edit the schema"),
    marked("Operations", "Edit the schema of {name}"),
    marked("Operations", "Edit the skeleton"),
    marked("Operations", "Find an instance"),
    marked("Operations", "Find {name}"),
    marked("Operations", "Give a keypoint to another instance"),
    marked("Operations", "Give {name} to another instance"),
    marked("Operations", "Import {name}"),
    marked("Operations", "Improve suggestions"),
    marked("Operations", "Improve {name}"),
    marked("Operations", "Make the sample project"),
    marked("Operations", "Mark %n keypoints as absent"),
    marked("Operations", "Mark a keypoint as absent"),
    marked("Operations", "Mark as all labelled"),
    marked("Operations", "Mark as not all labelled"),
    marked("Operations", "Mark as nothing here"),
    marked("Operations", "Masks of {name}"),
    marked("Operations", "Merge identities"),
    marked("Operations", "Merge instances"),
    marked("Operations", "Merge the project {name}"),
    marked("Operations", "Merge two instances"),
    marked("Operations", "Mirror the instance"),
    marked("Operations", "Move a keypoint"),
    marked("Operations", "Move {name}"),
    marked("Operations", "Name an instance"),
    marked("Operations", "Paste"),
    marked("Operations", "Place a keypoint"),
    marked("Operations", "Place {name}"),
    marked("Operations", "Propose keypoints"),
    marked("Operations", "Propose {name}"),
    marked("Operations", "Propose {name} with the tuned prompt"),
    marked("Operations", "Re-link %n images"),
    marked("Operations", "Re-link an image"),
    marked("Operations", "Re-link {name}"),
    marked("Operations", "Reject %n keypoints"),
    marked("Operations", "Reject %n keypoints and masks"),
    marked("Operations", "Reject a keypoint"),
    marked("Operations", "Reject proposals"),
    marked("Operations", "Remove %n images"),
    marked("Operations", "Remove %n instances"),
    marked("Operations", "Remove %n keypoints"),
    marked("Operations", "Remove a category"),
    marked("Operations", "Remove a keypoint"),
    marked("Operations", "Remove an identity"),
    marked("Operations", "Remove an instance"),
    marked("Operations", "Remove the category {name}"),
    marked("Operations", "Remove the mask"),
    marked("Operations", "Rename a category to {name}"),
    marked("Operations", "Rename a keypoint to {name}"),
    marked("Operations", "Rename an identity to {name}"),
    marked("Operations", "Reorder the keypoints"),
    marked("Operations", "Retire a keypoint"),
    marked("Operations", "Retire the keypoint {name}"),
    marked("Operations", "Set the split"),
    marked("Operations", "Split an identity"),
    marked("Operations", "Split the instance"),
    marked("Operations", "Swap left and right"),
    marked("Operations", "Tag {name}"),
    marked("Operations", "Untag {name}"),
)
"""Every name the store gives; tests/desktop/test_translation.py compares them with its source."""


def operation_text(name: str) -> str:
    """`name` of an undo step in the language of the window."""
    if not isinstance(name, Text):
        return QCoreApplication.translate(CONTEXT, name)
    shown = QCoreApplication.translate(CONTEXT, name.template, None, -1 if name.number is None else name.number)
    return shown.replace("{name}", name.values.get("name", ""))
