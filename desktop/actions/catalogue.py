"""The table of all actions: id, text, default keys, icon, menu, where they apply. Code refers to the ids only.

Scopes: "window" works everywhere in the main window; "canvas" is switched off while a text field has the focus, so that
single letters can be typed there. Texts are marked for translation with `_()` and translated when the menus are built.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTEXT = "Actions"


def _(text: str) -> str:
    """Mark for translation (QT_TRANSLATE_NOOP); returned as it is."""
    return text


@dataclass(frozen=True)
class ActionSpec:
    """One command of the window.

    Attributes:
        id: "group.verb"; text: menu text; keys: default key sequences (portable text).
        icon: name in resources/icons or ""; menu: menu id; scope: "window" or "canvas".
        help: one sentence for the tooltip and the shortcut list.
        checkable: it is a switch; hold: works as long as the key is down.
    """

    id: str
    text: str
    keys: tuple[str, ...] = ()
    icon: str = ""
    menu: str = ""
    scope: str = "window"
    help: str = ""
    checkable: bool = False
    hold: bool = False


def _a(
    id_: str, text: str, keys: str = "", icon: str = "", scope: str = "window", help_: str = "", **more: bool
) -> ActionSpec:
    menu = id_.split(".")[0]
    return ActionSpec(id_, text, tuple(k for k in keys.split(" | ") if k), icon, menu, scope, help_, **more)


MENUS: tuple[tuple[str, str], ...] = (
    ("project", _("Project")),
    ("edit", _("Edit")),
    ("view", _("View")),
    ("go", _("Go")),
    ("tool", _("Tool")),
    ("point", _("Keypoint")),
    ("review", _("Review")),
    ("engine", _("Propose")),
    ("page", _("Window")),
    ("help", _("Help")),
)

C = "canvas"
ACTIONS: tuple[ActionSpec, ...] = (
    _a(
        "project.new", _("New project..."), "Ctrl+N", "folder-plus", help_=_("Start a project from a folder of photos.")
    ),
    _a("project.open", _("Open project..."), "Ctrl+O", "folder-open", help_=_("Open an existing .kinmark project folder.")),
    _a(
        "project.add_images",
        _("Add photos..."),
        "Ctrl+Shift+O",
        "image-plus",
        help_=_("Add a folder of photos; the files stay where they are."),
    ),
    _a("project.add_clip", _("Add frames of a clip..."), help_=_("Choose frames of a video and add them as photos.")),
    _a("project.relink", _("Re-link moved photos..."), help_=_("Tell where a moved folder of photos lies now.")),
    _a(
        "project.import",
        _("Import labels..."),
        "Ctrl+I",
        "import",
        help_=_("Read COCO, SPair, labelme and other label files into the project."),
    ),
    _a(
        "project.export",
        _("Export..."),
        "Ctrl+E",
        "export",
        help_=_("Write the accepted labels as COCO, SPair and others, with a report."),
    ),
    _a("project.close", _("Close project"), "Ctrl+W", help_=_("Back to the start page. Everything is saved already.")),
    _a("project.quit", _("Quit"), "Ctrl+Q", help_=_("Leave Kinmark. Everything is saved already.")),
    _a("edit.undo", _("Undo"), "Ctrl+Z", "undo", help_=_("Take back the last change, also after a restart.")),
    _a("edit.redo", _("Redo"), "Ctrl+Shift+Z | Ctrl+Y", "redo", help_=_("Do again what was undone.")),
    _a(
        "edit.delete",
        _("Delete"),
        "Del",
        "trash",
        C,
        _("Remove the focused keypoint, or the selected instance when none is focused."),
    ),
    _a(
        "edit.delete_instance", _("Delete instance"), "Ctrl+Del", "", C, _("Remove the selected instance with all of it.")
    ),
    _a("edit.copy", _("Copy instance"), "Ctrl+C", "", C, _("Copy the selected instance.")),
    _a("edit.paste", _("Paste instance"), "Ctrl+V", "", C, _("Paste the copied instance into this photo.")),
    _a(
        "edit.copy_previous",
        _("Copy from the previous photo"),
        "Ctrl+B",
        "",
        C,
        _(
            "Copy the instances of the photo shown before, once; each keypoint goes where the model finds the same place."
        ),
    ),
    _a(
        "edit.copy_plain",
        _("Copy to the same places"),
        "Ctrl+Shift+B",
        "",
        C,
        _("Copy the instances of the photo shown before, once, to the same places of this photo."),
    ),
    _a(
        "edit.copy_selected",
        _("Copy to the selected photos"),
        "Ctrl+Alt+B",
        "",
        C,
        _("Copy the selected instance to the photos selected in the list; each keypoint is found again there."),
    ),
    _a(
        "edit.schema",
        _("Categories and keypoints..."),
        "Ctrl+K",
        "schema",
        help_=_("Names, skeleton and left/right pairs; also after labels exist."),
    ),
    _a("edit.tag", _("Tag photo..."), "Ctrl+T", "tag", help_=_("Add or remove a tag of this photo.")),
    _a(
        "edit.tag_instance",
        _("Tag instance..."),
        "Ctrl+Alt+T",
        "",
        C,
        _("Add or remove a tag of the selected instance."),
    ),
    _a(
        "edit.remove_photos",
        _("Remove photos from the project"),
        "Shift+Del",
        "",
        help_=_(
            "Take the photos selected in the list out of the project, with their labels. The files stay; Undo works."
        ),
    ),
    _a("edit.settings", _("Settings..."), "Ctrl+,", "settings", help_=_("Look, behaviour, engine; applied at once.")),
    _a("view.fit", _("Fit photo"), "F", "fit", C, _("Show the whole photo.")),
    _a(
        "view.zoom_instance",
        _("Zoom to instance"),
        "Z",
        "zoom-instance",
        C,
        _("Fill the canvas with the selected instance."),
    ),
    _a("view.actual", _("100 %"), "Ctrl+1", "", C, _("One screen pixel per photo pixel.")),
    _a("view.zoom_in", _("Zoom in"), "Ctrl++ | Ctrl+=", "zoom-in", C, _("Larger.")),
    _a("view.zoom_out", _("Zoom out"), "Ctrl+-", "zoom-out", C, _("Smaller.")),
    _a(
        "view.peek",
        _("Peek below the overlays"),
        "H",
        "eye",
        C,
        _("Hold: hide all overlays. Tap: switch them off and on."),
        hold=True,
    ),
    _a("view.loupe", _("Loupe"), "L", "loupe", C, _("A magnified circle beside the cursor."), checkable=True),
    _a(
        "view.names",
        _("Keypoint names"),
        "Ctrl+L",
        "",
        C,
        _("Write the names of the selected instance."),
        checkable=True,
    ),
    _a("view.skeleton", _("Skeleton"), "", "", C, _("Show the skeleton."), checkable=True),
    _a("view.masks", _("Masks"), "", "", C, _("Show masks."), checkable=True),
    _a("view.boxes", _("Boxes"), "", "", C, _("Show boxes."), checkable=True),
    _a(
        "view.heat", _("Heat map"), "T", "flame", C, _("Show where else the focused keypoint could be."), checkable=True
    ),
    _a(
        "view.brighter",
        _("Brighter"),
        "Ctrl+Up",
        "contrast",
        C,
        _("Show the photo brighter; the file is never changed."),
    ),
    _a("view.darker", _("Darker"), "Ctrl+Down", "", C, _("Show the photo darker.")),
    _a("view.more_contrast", _("More contrast"), "Ctrl+Shift+Up", "", C, _("Show the photo with more contrast.")),
    _a("view.less_contrast", _("Less contrast"), "Ctrl+Shift+Down", "", C, _("Show the photo with less contrast.")),
    _a("view.invert", _("Invert the view"), "Ctrl+Alt+I", "", C, _("Show dark as bright and bright as dark.")),
    _a("view.plain", _("Show as in the file"), "Ctrl+Alt+0", "", C, _("Brightness and contrast back to the file's.")),
    _a(
        "view.source",
        _("Source exemplar"),
        "F8",
        "columns",
        help_=_("Show a labelled exemplar beside the photo."),
        checkable=True,
    ),
    _a(
        "view.link",
        _("Link both views"),
        "Shift+F8",
        "link",
        help_=_("Zoom and pan source and target together."),
        checkable=True,
    ),
    _a(
        "view.panels",
        _("Hide panels"),
        "F9",
        "sidebar",
        help_=_("All panels away, and back where they were."),
        checkable=True,
    ),
    _a("view.focus_next_panel", _("Next panel"), "F6", help_=_("Move the keyboard to the next panel.")),
    _a("view.fullscreen", _("Full screen"), "F11", help_=_("Use the whole screen."), checkable=True),
    _a("go.next_image", _("Next photo"), "D", "chevron-right", C, _("The next photo of the list.")),
    _a("go.previous_image", _("Previous photo"), "A", "chevron-left", C, _("The photo before.")),
    _a("go.first_image", _("First photo"), "Home", "", C, _("The first photo of the list.")),
    _a("go.last_image", _("Last photo"), "End", "", C, _("The last photo of the list.")),
    _a("go.next_unseen", _("Next unseen photo"), "Ctrl+Shift+D", "", C, _("The next photo that nobody looked at.")),
    _a("go.next_review", _("Next in review queue"), "N", "queue", C, _("The photo that needs you most.")),
    _a("go.previous_review", _("Back in review queue"), "Shift+N", "", C, _("The photo reviewed before.")),
    _a("go.next_point", _("Next keypoint"), "S", "", C, _("Focus the next keypoint of the instance.")),
    _a("go.previous_point", _("Previous keypoint"), "W", "", C, _("Focus the keypoint before.")),
    _a("go.next_instance", _("Next instance"), "Tab", "", C, _("Select the next instance of the photo.")),
    _a("go.previous_instance", _("Previous instance"), "Shift+Tab", "", C, _("Select the instance before.")),
    _a("go.source", _("Go to the source photo"), "Shift+E", "", C, _("The photo of the exemplar that is shown beside.")),
    _a("go.next_exemplar", _("Next exemplar"), "E", "", C, _("Another labelled photo in the source panel.")),
    _a(
        "go.search",
        _("Search photos"),
        "Ctrl+F",
        "search",
        help_=_("By name or with conf:<0.5 lacks:left_ear tag:x state:pending."),
    ),
    _a(
        "tool.select",
        _("Select"),
        "V",
        "cursor",
        C,
        _("Focus and drag keypoints; drag empty ground to pan."),
        checkable=True,
    ),
    _a(
        "tool.keypoint",
        _("Keypoint"),
        "K",
        "keypoint",
        C,
        _("Place keypoints; the next name is chosen for you. Right click: hidden."),
        checkable=True,
    ),
    _a("tool.box", _("Box"), "R", "box", C, _("Drag a box around an instance."), checkable=True),
    _a("tool.brush", _("Brush"), "B", "brush", C, _("Paint the mask; Ctrl takes away."), checkable=True),
    _a("tool.eraser", _("Eraser"), "Shift+B", "eraser", C, _("Take away from the mask."), checkable=True),
    _a("tool.polygon", _("Polygon"), "P", "polygon", C, _("Click the outline; Enter adds it to the mask."), checkable=True),
    _a("tool.pan", _("Pan"), "G", "hand", C, _("Drag the photo. Space does the same from any tool."), checkable=True),
    _a("tool.smaller", _("Smaller brush"), "[", "", C, _("Shrink the brush.")),
    _a("tool.larger", _("Larger brush"), "]", "", C, _("Grow the brush.")),
    _a(
        "tool.new_instance",
        _("New instance"),
        "I",
        "plus",
        C,
        _("Start another instance of the category in this photo."),
    ),
    _a(
        "tool.template",
        _("Drop whole template"),
        "Shift+K",
        "template",
        C,
        _("Put all keypoints at once, then drag them."),
    ),
    _a("tool.segment", _("Mask from box"), "Ctrl+M", "mask", C, _("Cut the selected box out in the background.")),
    _a(
        "point.visibility",
        _("Visible, hidden, absent"),
        "Q",
        "eye-off",
        C,
        _("Cycle the visibility of the focused keypoint."),
    ),
    _a("point.mirror", _("Swap left and right"), "M", "mirror", C, _("Swap the sides of the selected instance.")),
    _a("point.absent", _("Mark as absent"), "0", "", C, _("The focused keypoint is not in the photo.")),
    *(
        _a(
            f"point.pick_{n}",
            _("Keypoint %n").replace("%n", str(n)),
            str(n),
            "",
            C,
            _("Focus this keypoint of the schema."),
        )
        for n in range(1, 10)
    ),
    *(
        _a(
            f"point.peak_{n}",
            _("Take peak %n").replace("%n", str(n)),
            f"Alt+{n}",
            "",
            C,
            _("Put the focused proposal on another peak."),
        )
        for n in range(1, 4)
    ),
    _a(
        "review.accept", _("Accept"), "Return | Enter", "check", C, _("Accept the focused proposal and go to the next.")
    ),
    _a("review.reject", _("Reject"), "X", "cross", C, _("Reject the focused proposal; it is not proposed again.")),
    _a(
        "review.accept_image",
        _("Accept all sure ones in the photo"),
        "Shift+Return | Shift+Enter",
        "check-all",
        C,
        _("Accept every proposal of this photo that is as sure as the settings ask (90 % at first)."),
    ),
    _a(
        "review.accept_instance",
        _("Accept the instance as it stands"),
        "Ctrl+Return | Ctrl+Enter",
        "check-all",
        C,
        _("Accept all keypoints and the mask proposed for the selected instance, sure or not."),
    ),
    _a(
        "review.reject_image",
        _("Reject the whole instance"),
        "Shift+X",
        "",
        C,
        _("Reject all proposals of the selected instance."),
    ),
    _a(
        "review.accept_queue",
        _("Accept all sure ones of the queue..."),
        "Ctrl+Shift+Return | Ctrl+Shift+Enter",
        "",
        C,
        _("Shows the count and the expected precision first."),
    ),
    _a(
        "review.reject_list",
        _("Reject all proposals of the list"),
        "",
        "",
        C,
        _(
            "Reject every proposal of the photos that the list shows now (filter or search first); one Undo takes it back."
        ),
    ),
    _a(
        "review.nothing",
        _("Nothing here"),
        "O",
        "circle-slash",
        C,
        _("You looked: no instance of the category is in this photo."),
    ),
    _a(
        "review.harder",
        _("Try harder on this keypoint"),
        "Ctrl+H",
        "target",
        C,
        _("Optimise a prompt for the focused keypoint on this photo."),
    ),
    _a(
        "engine.propose",
        _("Propose keypoints"),
        "Ctrl+P",
        "sparkle",
        help_=_("Propose the keypoints of the current category on all photos that need them."),
    ),
    _a(
        "engine.propose_list",
        _("Propose on the photos of the list"),
        "Ctrl+Alt+P",
        "",
        help_=_("Propose the current category on the photos that the list shows now (filter or search first)."),
    ),
    _a(
        "engine.check",
        _("Check labels"),
        "Ctrl+Shift+K",
        "target",
        help_=_("Look for labels that are probably wrong; the review queue then shows the worst first."),
    ),
    _a(
        "engine.propose_all",
        _("Propose all categories"),
        "",
        "",
        help_=_("Propose every category that has an exemplar on all photos."),
    ),
    _a(
        "engine.propose_quick",
        _("A first look at all photos"),
        "",
        "",
        help_=_("Propose the current category where nothing is proposed yet: coarse, but quick for many photos."),
    ),
    _a("engine.propose_here", _("Propose on this photo"), "Ctrl+Shift+P", "", C, _("Propose on this photo now.")),
    _a(
        "engine.find",
        _("Find this instance..."),
        "Ctrl+Shift+F",
        "find",
        help_=_("Search the selected instance in the other photos."),
    ),
    _a(
        "engine.tune",
        _("Tune the prompt..."),
        "Ctrl+Shift+T",
        "tune",
        help_=_("Fine-tune a prompt on the accepted instances."),
    ),
    _a(
        "engine.pause",
        _("Pause"),
        "Ctrl+Shift+Space",
        "pause",
        help_=_("Pause or go on with the running job."),
        checkable=True,
    ),
    _a("engine.cancel", _("Cancel job"), "Ctrl+.", "stop", help_=_("Stop the running job; what is finished stays.")),
    _a("page.label", _("Label"), "Ctrl+F1", "image", help_=_("The canvas.")),
    _a("page.parts", _("Part grid"), "Ctrl+F2", "grid", help_=_("One keypoint on many photos.")),
    _a("page.identities", _("Identities"), "Ctrl+F3", "identity", help_=_("Confirmed above, suggested below.")),
    _a("page.statistics", _("Statistics"), "Ctrl+F4", "chart", help_=_("Progress, accuracy, calibration.")),
    _a("page.models", _("Models..."), "Ctrl+F5", "cube", help_=_("Installed and available models.")),
    _a("help.keys", _("Keys of this view"), "F1", "keyboard", help_=_("All keys that work here.")),
    _a("help.shortcuts", _("Change shortcuts..."), "Shift+F1", "", help_=_("Remap keys, choose a preset.")),
    _a("help.legend", _("Legend"), "", "", help_=_("What the marks mean.")),
    _a("help.doctor", _("Doctor..."), "", "pulse", help_=_("What is installed and whether it works, to copy.")),
    _a("help.about", _("About Kinmark"), "", "", help_=_("Version and licences.")),
)

BY_ID: dict[str, ActionSpec] = {spec.id: spec for spec in ACTIONS}
