"""What is photographed: one function per part of the program, called in this order with the window in that state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import made_up
from herd_scenes import several

from kinmark.engine.domain.errors import UnreadableImageError
from kinmark.projects.project import Project

LONG = ("<b>Ä very long</b> category 😀 עברית " + "name " * 60)[:300]


SOMEBODY = "/home/anna/Pictures"
"""Shown instead of the folders of the machine that takes the pictures."""


def run(studio: Any) -> None:
    """Everything."""
    studio.take("start-empty")
    start(studio)
    first_steps(studio)
    several(studio)
    open_sample(studio)
    review(studio)
    pages(studio)
    dialogs_of_projects(studio)
    dialogs_of_models(studio)
    other_dialogs(studio)
    tools(studio)
    sizes(studio)
    long_names(studio)
    later(studio)


def sample(studio: Any) -> Path:
    """The sample project with made-up proposals."""
    from kinmark.projects.sample import make_sample_project, sample_folder

    folder = sample_folder()
    if not folder.exists():
        make_sample_project(folder)
        with Project.open(folder) as project:
            made_up.propose_keypoints(project)
            made_up.find_dog(project)
    return folder


def start(studio: Any) -> None:
    """The start page with projects, one of them gone."""
    window, folder = studio.window, sample(studio)
    window.program.settings.remember_project(folder.parent / "moved away.kinmark")
    window.program.settings.remember_project(folder)
    window.start_page.refresh()
    studio.take("start-recent")

    def elsewhere(dialog: Any) -> None:
        dialog.place.blockSignals(True)  # the folder need not be there
        dialog.place.setText(SOMEBODY)
        dialog.problem.setText(str(dialog.folder))

    studio.dialog("new", studio.dialogs.new_project, elsewhere)


def first_steps(studio: Any) -> None:
    """What a new project looks like: no photos, no category, no exemplar."""
    names = ("first-no-photos", "first-no-category", "first-no-exemplar", "first-parts", "first-identities")
    if not any(studio.wants(name) for name in names):
        return
    from kinmark.projects.images import add_paths

    window, made = studio.window, sample(studio)
    folder = made.parent / "first steps.kinmark"
    Project.create(folder, name="First steps").close()
    window.open_project(folder)
    studio.take(names[0])
    window.close_project()
    with Project.open(made) as project:
        photos = [row.path for row in project.queries.images(limit=6)]
    with Project.open(folder) as project:
        add_paths(project, photos)
    window.open_project(folder)
    studio.take(names[1])
    from kinmark.desktop.session.templates import TEMPLATES

    template = TEMPLATES[0]
    studio.space.session.write(lambda do: do.add_category(template.category, template.schema))
    window.commands.use_tool("keypoint")
    studio.take(names[2])
    window.commands.use_tool("select")
    for page, name in (("parts", names[3]), ("identities", names[4])):
        window.show_page(page)
        studio.take(name)
    window.close_project()


def open_sample(studio: Any) -> None:
    """The sample project, on a photo that waits for review."""
    studio.window.open_project(sample(studio))
    studio.settle()
    studio.space.next_review()


def review(studio: Any) -> None:
    """The main window at work."""
    window, space = studio.window, studio.space
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
    studio.take("main-grid")
    space.images.set_grid(False)
    error = UnreadableImageError(
        "Cannot read the image /photos/2024/IMG_0412.jpg: the file is truncated or damaged.",
        "Copy it again from where it came from.",
        "OSError('image file is truncated')",
    )
    space.program.messages.error(error, retry=lambda: None)
    studio.take("main-error")
    space.program.messages.info("12 instances proposed.", "N goes to the one that needs you most.")
    running_job(studio)
    studio.take("main-job")
    window.message_bar.hide()
    window.job_bar.show_job(None)
    window.job_bar.device.hide()  # not this machine's
    space.review.show_findings(made_up.findings(space.session.project))
    space.next_review()
    studio.take("main-check")
    space.review.strategy.setCurrentIndex(0)
    space.review.strategy.activated.emit(0)
    space.next_review()


def running_job(studio: Any) -> None:
    """A sweep in the job bar, on the device of somebody else."""
    from kinmark.desktop.engine_thread.jobs import Job
    from kinmark.desktop.engine_thread.service import JobState
    from kinmark.engine.api import EngineInfo
    from kinmark.engine.domain.progress import ProgressSnapshot

    bar = studio.window.job_bar
    bar.show_device(EngineInfo("cuda:0", "bfloat16", "sd21", 6 * 2**30, 24 * 2**30))
    title = studio.space.jobs.tr("Proposing {name}").format(name="dog")
    bar.show_job(JobState(Job.make(title, lambda _: None), ProgressSnapshot("", 412, 1204, 87.0), 2))


def pages(studio: Any) -> None:
    """The other pages."""
    for page in ("parts", "identities", "statistics"):
        studio.window.show_page(page)
        studio.take(page)
    studio.window.show_page("parts")
    studio.dialog("keys", studio.dialogs.keys, shot="keys-of-a-page")
    studio.window.show_page("label")


def dialogs_of_projects(studio: Any) -> None:
    """What belongs to the open project."""
    d, space = studio.dialogs, studio.space
    studio.dialog("schema", lambda: d.schema(space))
    studio.dialog("bulk", lambda: d.accept_queue(space))
    studio.dialog("find", lambda: d.find(space))
    studio.dialog("relink", lambda: d.relink(space))
    studio.dialog("import", lambda: d.import_labels(space))
    out = space.folder.parent / "export"

    def export(dialog: Any) -> None:
        dialog.place.setText(str(out))
        dialog.start()
        studio.until(lambda: any(out.rglob("*.json")))
        studio.wait(0.5)

    def preview(dialog: Any) -> None:
        dialog.file.setText(str(next(iter(sorted(out.rglob("*.json"))), "")))
        dialog.start(dry=True)
        studio.until(lambda: dialog.report.toPlainText())

    studio.dialog("export", lambda: d.export(space), lambda dialog: dialog.place.setText(f"{SOMEBODY}/sample-export"))
    if studio.wants("dialog-export-report") or studio.wants("dialog-import-preview"):
        d.export(space)
        dialog = d.dialog("export")
        studio.settle()
        export(dialog)
        studio.take("dialog-export-report", dialog)
        dialog.close()
    studio.dialog("import", lambda: d.import_labels(space), preview, shot="import-preview")


def dialogs_of_models(studio: Any) -> None:
    """Models and tuning."""
    from kinmark.engine.domain.progress import CancelToken, Progress

    d, space = studio.dialogs, studio.space

    def download(dialog: Any) -> None:
        studio.until(lambda: len(dialog.cards) > 1)
        card = next(c for c in dialog.cards if not c.row.installed)
        progress = Progress()
        progress.start("", 2400)
        progress.step(1030, "unet/diffusion_pytorch_model.fp16.safetensors  1.0 of 2.4 GB")
        dialog._downloads[card.row.id] = (progress, CancelToken(), card)
        card.show_download(True)
        dialog._poll()

    studio.dialog("models", d.models, lambda dialog: studio.until(lambda: len(dialog.cards) > 1))
    studio.dialog("models", d.models, download, shot="models-download")
    studio.dialog("tune", lambda: d.tune(space))


def other_dialogs(studio: Any) -> None:
    """Settings, keys, help."""
    from kinmark.desktop.actions.catalogue import ACTIONS
    from kinmark.desktop.dialogs.crash_dialog import CrashDialog

    d = studio.dialogs
    studio.dialog("settings", d.settings)
    studio.dialog("keys", d.keys)
    studio.dialog("shortcuts", d.shortcuts)

    def clash(dialog: Any) -> None:
        from PySide6.QtGui import QKeySequence

        row = [spec.id for spec in ACTIONS].index("review.reject")
        dialog.table.selectRow(row)
        dialog.editor.setKeySequence(QKeySequence("A"))
        dialog.set_key()
        dialog.table.scrollTo(dialog.proxy.index(row, 0))

    studio.dialog("shortcuts", d.shortcuts, clash, shot="shortcuts-clash")
    studio.window.registry.apply_keys(studio.window.registry.keys)
    studio.dialog("legend", d.legend)
    studio.dialog("about", d.about)
    studio.dialog("doctor", d.doctor, lambda dialog: studio.until(lambda: dialog.text.toPlainText(), 150))
    if studio.wants("dialog-crash"):
        dialog = CrashDialog(
            studio.window, "/home/pip/kinmark/crash-2026-11-21.txt", "ZeroDivisionError: division by zero"
        )
        dialog.show()
        studio.take("dialog-crash", dialog)
        dialog.close()


def tools(studio: Any) -> None:
    """The tools that have something to set, and the tour, also in a small window."""
    window = studio.window
    for width, height in ((1360, 860), (900, 650)):
        window.resize(width, height)
        for tool in ("brush", "polygon"):
            window.commands.use_tool(tool)
            studio.take(f"tool-{tool}-{width}")
        window.commands.use_tool("select")
        for job in ("keypoints", "find"):
            window.guide.start(job)
            studio.take(f"tour-{job}-{width}")
        window.guide.end()
    window.resize(1360, 860)


def sizes(studio: Any) -> None:
    """Small windows, and a large one."""
    for name, width, height in (("small", 900, 600), ("tiny", 660, 460), ("wide", 1920, 1080)):
        studio.window.resize(width, height)
        studio.take(f"main-{name}")
    studio.window.resize(900, 650)
    for page in ("parts", "identities", "statistics"):
        studio.window.show_page(page)
        studio.take(f"small-{page}")
    studio.window.show_page("label")
    studio.window.resize(1360, 860)
    studio.settle()


def long_names(studio: Any) -> None:
    """Names as long as they may be, with what other programs take for markup."""
    space = studio.space
    category = space.labelling.categories[0]
    space.session.write(lambda do: do.rename_category(category.id, LONG))
    identities = space.session.queries.identities()
    space.session.write(lambda do: do.rename_identity(identities[0].id, LONG))
    studio.take("main-long-names")
    studio.dialog("schema", lambda: studio.dialogs.schema(space), shot="schema-long-names")
    studio.dialog("tune", lambda: studio.dialogs.tune(space), shot="tune-long-names")
    studio.window.show_page("identities")
    studio.take("identities-long-names")
    studio.window.show_page("label")
    for _ in range(2):
        space.session.undo()


def later(studio: Any) -> None:
    """After some hours of work: figures and calibration."""
    if not any(studio.wants(name) for name in ("statistics-full", "main-later", "dialog-tune-result")):
        return
    space = studio.space
    made_up.decide(space.session.project)
    space.session.poll()
    studio.window.show_page("statistics")
    studio.take("statistics-full")
    studio.window.show_page("label")
    space.next_review()
    studio.take("main-later")

    def result(dialog: Any) -> None:
        tuning = space.tuning
        dialog.category.setCurrentIndex(dialog.category.findData("dog"))
        tuning.points, tuning.tuned = made_up.tuned_prompt()
        tuning.pictures = made_up.gallery(space.session.project)
        tuning.changed.emit()
        studio.wait(0.2)

    studio.dialog("tune", lambda: studio.dialogs.tune(space), result, shot="tune-result")
    space.tuning.points, space.tuning.tuned, space.tuning.pictures = (), None, ()
