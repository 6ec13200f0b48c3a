"""Photos with several instances: under review, labelled, in the grid, in a small window."""

from __future__ import annotations

from typing import Any

from tests.support.herd import make_herd, make_project, propose_herd

NAMES = (
    "herd-review",
    "herd-into-keypoints",
    "herd-settled",
    "herd-split",
    "herd-grid",
    "herd-statistics",
    "herd-small",
    "dialog-herd-schema",
)


def several(studio: Any) -> None:
    """A project of newts, three in each photo."""
    if not any(studio.wants(name) for name in NAMES):
        return
    from kinmark.projects.sample import sample_folder

    place = sample_folder().parent
    folder = place / "newts.kinmark"
    if not folder.exists():
        make_project(folder, make_herd(place / "newts", 6), labelled=2)
        propose_herd(folder, (1, 2, 3, 4))
    window = studio.window
    window.open_project(folder)
    space = studio.space
    space.next_review()
    studio.take("herd-review")
    space.labelling.focus_step(1)
    studio.take("herd-into-keypoints")
    space.reviewer.accept_image()
    studio.take("herd-settled")
    space.labelling.select(space.labelling.shown[0].key)
    for index in (1, 2):
        space.labelling.mark(index)
    studio.take("herd-split")
    space.reviewer.all_labelled(True)
    space.go_to(space.session.queries.images()[0].id)
    space.reviewer.all_labelled(False)
    space.images.set_grid(True)
    studio.take("herd-grid")
    space.images.set_grid(False)
    window.show_page("statistics")
    studio.take("herd-statistics")
    window.show_page("label")
    studio.dialog("schema", lambda: studio.dialogs.schema(space), shot="herd-schema")
    space.next_review()
    size = window.size()
    window.resize(900, 650)
    studio.take("herd-small")
    window.resize(size)
    window.close_project()
