"""The actions of photos with several instances, by menu; part of the catalogue."""

from __future__ import annotations

from kinmark.desktop.actions.spec import ActionSpec, _, _a

C = "canvas"
SEVERAL: dict[str, tuple[ActionSpec, ...]] = {
    "edit": (
        _a(
            "edit.merge",
            _("Merge with another instance..."),
            "J",
            "",
            C,
            _("Two halves of one animal become one instance; where both placed a keypoint, the selected one's stays."),
        ),
        _a(
            "edit.split",
            _("Split the instance"),
            "Shift+J",
            "",
            C,
            _(
                "The marked keypoints (Ctrl+click or Y) become an instance of their own; without marks, the farther group."
            ),
        ),
    ),
    "point": (
        _a(
            "point.mark",
            _("Mark for a split"),
            "Y",
            "",
            C,
            _("Mark the focused keypoint, or take the mark off; Shift+J splits."),
        ),
        _a(
            "point.give",
            _("Give to another instance..."),
            "Shift+I",
            "",
            C,
            _("The focused keypoint belongs to another animal; where that has one of the name, the two are exchanged."),
        ),
    ),
    "review": (
        _a(
            "review.all_labelled",
            _("All are labelled"),
            "U",
            "check-all",
            C,
            _(
                "No instance of the category in this photo is without labels; what still waits is rejected. Again: take it back."
            ),
        ),
        _a(
            "review.not_all_labelled",
            _("Not all are labelled"),
            "Shift+U",
            "",
            C,
            _("Some instances of the category in this photo have no labels; exports say so. Again: take it back."),
        ),
    ),
}
