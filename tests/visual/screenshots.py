"""Pictures of every window: light and dark, empty and full, long names, small window, 200 % scale.

    python tests/visual/screenshots.py OUT [--dark] [--scale 2] [--only NAME ...] [--guide]

Needs no screen (offscreen platform). `--guide` writes the pictures of docs/user-guide.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(REPOSITORY))


GUIDE = (
    "start-recent", "dialog-new", "main-review", "main-zoomed", "main-grid", "parts", "identities", "statistics", "dialog-schema",
    "dialog-bulk", "dialog-export", "dialog-tune", "dialog-keys", "dialog-legend",
)  # fmt: skip
"""Pictures of the user guide."""


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=REPOSITORY / "docs" / "user-guide" / "pictures")
    parser.add_argument("--guide", action="store_true", help="write the pictures of the user guide (JPEG)")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--language", default="en")
    parser.add_argument("--home", type=Path, default=None)
    return parser.parse_args(argv)


class Studio:
    """Opens the program and takes pictures."""

    def __init__(self, out: Path, only: list[str], suffix: str) -> None:
        from desktop.app import make_window

        self.out = out
        self.only = only
        self.suffix = suffix
        self.window = make_window([])
        out.mkdir(parents=True, exist_ok=True)

    def wait(self, seconds: float) -> None:
        from PySide6.QtCore import QEventLoop, QTimer

        loop = QEventLoop()
        QTimer.singleShot(int(seconds * 1000), loop.quit)
        loop.exec()

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not ready() and time.monotonic() < end:
            self.wait(0.1)
        return ready()

    def take(self, name: str, widget: object | None = None) -> None:
        if self.only and name not in self.only:
            return
        self.wait(0.35)
        target = widget if widget is not None else self.window
        target.grab().save(str(self.out / f"{name}{self.suffix}"), quality=85)  # type: ignore[attr-defined]
        print(name)

    def dialog(self, name: str, open_it: Callable[[], object], wait: float = 0.4) -> None:
        if self.only and f"dialog-{name}" not in self.only:
            return
        open_it()
        dialog = self.window.commands.dialogs.dialog(name)
        self.wait(wait)
        self.take(f"dialog-{name}", dialog)
        if dialog is not None:
            dialog.close()
        self.wait(0.05)


def propose_from_truth(project: object) -> None:
    """Pending proposals without a model: the true places, shaken a little (pictures must not depend on the machine)."""
    import numpy as np

    from engine.domain.keypoints import Visibility
    from engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals, MaskProposal, Peak
    from engine.domain.runspec import RunSpec
    from projects.workflows.demo.truth import instance_box, read_truth

    rng = np.random.default_rng(7)
    spec = RunSpec("match", "embedded")
    truth = read_truth()
    queries, operations = project.queries, project.operations  # type: ignore[attr-defined]
    for category in queries.categories():
        proposals = []
        for image in truth.images:
            row = queries.image_named(str(image.rel_path))
            if row is None or row.instance_count:
                continue
            for instance in image.instances[:1]:
                if instance.category != category.name:
                    continue
                box = instance_box(instance)
                side = max(box[2] - box[0], box[3] - box[1])
                points = []
                for name, k in instance.keypoints.items():
                    if k.x is None or k.y is None:
                        continue
                    confidence = float(np.clip(rng.beta(5, 1.6), 0.08, 0.98))
                    spread = side * 0.02 / max(confidence, 0.2)
                    x, y = k.x + rng.normal(0, spread), k.y + rng.normal(0, spread)
                    peaks = tuple(
                        Peak(
                            x + rng.normal(0, side * 0.2) * (n > 0),
                            y + rng.normal(0, side * 0.2) * (n > 0),
                            0.9 - 0.15 * n,
                        )
                        for n in range(3)
                    )
                    signals = KeypointSignals(confidence, 0.12, 0.04, 0.8, 0.1, 0.05)
                    visibility = Visibility.HIDDEN if int(k.visibility) == 1 else Visibility.VISIBLE
                    points.append(KeypointProposal(name, x, y, confidence, visibility, signals, peaks))
                proposals.append(
                    InstanceProposal("shots", str(row.id), category.name, tuple(points), 0.8, box, spec, ("1",))
                )
        if proposals:
            operations.add_keypoint_proposals(proposals, category.id, job="shots")
    dog = queries.category("dog")
    first = next((i for i in truth.images if i.instances and i.instances[0].category == "dog"), None)
    if dog is None or first is None:
        return
    identity = operations.add_identity("Pip", dog.id).ids[0]
    done = queries.instances(category_id=dog.id)
    if done:
        operations.assign_identity([done[0].id], identity)
    masks = []
    for image in truth.images:
        row = queries.image_named(str(image.rel_path))
        for instance in image.instances[:1]:
            if instance.category == "dog" and instance.mask is not None and row is not None and not row.instance_count:
                likeness = float(np.clip(rng.beta(2, 2), 0.05, 0.97))
                masks.append(
                    MaskProposal(
                        "m",
                        str(row.id),
                        likeness,
                        likeness,
                        instance.mask,
                        instance.mask.box,
                        RunSpec("pdm", "embedded"),
                    )
                )
    operations.add_mask_proposals(masks, dog.id, identity_id=identity, job="shots-find")


def run(studio: Studio) -> None:
    from desktop.session.sample import make_sample_project, sample_folder
    from projects.project import Project

    window = studio.window
    studio.take("start-empty")
    folder = sample_folder()
    if not folder.exists():
        make_sample_project(folder)
        with Project.open(folder) as project:
            propose_from_truth(project)
    window.program.settings.remember_project(folder)
    window.program.settings.remember_project(folder.parent / "moved away.kinmark")
    window.start_page.refresh()
    studio.wait(0.8)
    studio.take("start-recent")
    studio.dialog("new", window.commands.dialogs.new_project)
    window.open_project(folder)
    space = window.workspace
    assert space is not None
    studio.wait(1.2)
    space.next_review()
    studio.wait(0.8)
    studio.take("main-review")
    space.labelling.focus_step(1)
    window.registry["view.names"].trigger()
    space.target.canvas.loupe = True
    space.target.zoom_to_instance()
    studio.take("main-zoomed")
    window.registry["view.names"].trigger()
    space.target.canvas.loupe = False
    space.target.canvas.fit()
    space.images.set_grid(True)
    studio.wait(0.5)
    studio.take("main-grid")
    space.images.set_grid(False)
    unseen = [i for i in space.images.model.ids if space.session.queries.image(i).state == "unseen"]
    if unseen:
        space.go_to(unseen[0])
    window.commands.use_tool("keypoint")
    studio.take("main-placing")
    window.commands.use_tool("select")
    space.program.messages.error(_sample_error())
    studio.take("main-error")
    window.message_bar.hide()
    window.show_page("parts")
    studio.wait(1.2)
    studio.take("parts")
    window.show_page("identities")
    studio.wait(1.2)
    studio.take("identities")
    window.show_page("statistics")
    studio.wait(1.0)
    studio.take("statistics")
    window.show_page("label")
    space.next_review()
    d = window.commands.dialogs
    studio.dialog("schema", lambda: d.schema(space), 0.8)
    studio.dialog("bulk", lambda: d.accept_queue(space), 1.0)
    studio.dialog("export", lambda: d.export(space), 1.5)
    studio.dialog("import", lambda: d.import_labels(space))
    studio.dialog("find", lambda: d.find(space), 0.6)
    studio.dialog("tune", lambda: d.tune(space), 0.6)
    studio.dialog("relink", lambda: d.relink(space))
    studio.dialog("settings", d.settings)
    studio.dialog("models", d.models, 1.2)
    studio.dialog("keys", d.keys)
    studio.dialog("shortcuts", d.shortcuts)
    studio.dialog("legend", d.legend)
    studio.dialog("about", d.about)
    studio.dialog("crash", lambda: None)
    window.resize(900, 600)
    studio.wait(0.5)
    studio.take("main-small")
    window.resize(660, 460)
    studio.wait(0.5)
    studio.take("main-tiny")
    window.resize(1360, 860)
    long_name = "<b>Ä very long</b> category 😀 " + "name " * 40
    space.session.write(lambda do: do.rename_category(space.labelling.categories[0].id, long_name[:300]))
    studio.take("main-long-names")
    space.session.undo()


def _sample_error() -> object:
    from engine.domain.errors import UnreadableImageError

    return UnreadableImageError(
        "Cannot read the image /photos/2024/IMG_0412.jpg: the file is truncated or damaged.",
        "Copy it again from where it came from.",
        "OSError('image file is truncated')",
    )


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if arguments.scale != 1:
        os.environ["QT_SCALE_FACTOR"] = str(arguments.scale)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["KINMARK_HOME"] = str(arguments.home or temporary)
        from desktop.settings import format_settings, parse_settings, settings_file

        settings_file().parent.mkdir(parents=True, exist_ok=True)
        theme = "dark" if arguments.dark else "light"
        text = format_settings(parse_settings(f'theme = "{theme}"\nlanguage = "{arguments.language}"\n'))
        settings_file().write_text(text, encoding="utf-8")
        only = list(GUIDE) if arguments.guide else arguments.only
        studio = Studio(arguments.out, only, ".jpg" if arguments.guide else ".png")
        try:
            run(studio)
        finally:
            studio.window.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
