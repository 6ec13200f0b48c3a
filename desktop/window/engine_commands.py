"""Commands that ask the engine: propose, find, check, tune, pause, cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kinmark.desktop.window.command_group import CommandGroup
from kinmark.desktop.window.sweep_said import say_sweep

if TYPE_CHECKING:
    from kinmark.desktop.window.dialog_commands import DialogCommands
    from kinmark.desktop.window.frame import Frame
    from kinmark.desktop.workspace import Workspace
    from kinmark.projects.workflows.find import FindOutcome
    from kinmark.projects.workflows.propose_all import SweepOutcome


class EngineCommands(CommandGroup):
    """GUI thread; owned by the commands: what the engine is asked for, and what is said when it has answered."""

    def __init__(self, window: Frame, dialogs: DialogCommands) -> None:
        super().__init__(window)
        self._dialogs = dialogs

    def table(self) -> dict[str, Callable[[Workspace], object]]:
        """What each action does with an open project."""
        return {
            "engine.propose": self.propose,
            "engine.propose_list": lambda w: self.propose(w, image_ids=list(w.images.model.ids)),
            "engine.check": self.check,
            "engine.propose_all": lambda w: self.propose(w, all_categories=True),
            "engine.propose_quick": lambda w: self.propose(w, quick=True),
            "engine.propose_here": self.propose_here,
            "engine.find": self._dialogs.find,
            "engine.tune": self._dialogs.tune,
        }

    def listen(self, workspace: Workspace) -> None:
        """Hear of what the open project's jobs come to."""
        workspace.jobs.engine_known.connect(self._window.job_bar.show_device)
        workspace.session.busy_changed.connect(self._window.job_bar.show_long)
        workspace.jobs.sweep_done.connect(self._sweep_done)
        workspace.jobs.find_done.connect(self._find_done)
        workspace.jobs.check_done.connect(self.check_done)
        workspace.tuning.finished.connect(self._tuning_done)

    def propose(
        self,
        workspace: Workspace,
        *,
        image_ids: list[int] | None = None,
        all_categories: bool = False,
        quick: bool = False,
    ) -> None:
        """Sweep photos for the current category (or all of them) in the background."""
        category = workspace.labelling.current_category
        queries = workspace.session.queries
        names = [c for c in workspace.labelling.categories if c.definitions and queries.exemplar_ids(c.id, limit=1)]
        if not names or (not all_categories and category not in names):
            hint = self.tr("Label one photo: press K and follow the names, then Ctrl+P.")
            if names:
                hint += " " + self.tr("Exemplars exist for: {names}.").format(names=", ".join(c.name for c in names))
            workspace.program.messages.info(self.tr("There is no exemplar of this category yet."), hint)
            return
        name = "" if all_categories or category is None else category.name
        workspace.jobs.propose_all(image_ids, name, quick=quick)
        workspace.jobs.learn_device()

    def propose_here(self, workspace: Workspace) -> None:
        """This photo, now."""
        image, category = workspace.labelling.image, workspace.labelling.current_category
        if image is not None and category is not None:
            workspace.jobs.propose_here(image.id, category.name)
            workspace.jobs.learn_device()

    def _sweep_done(self, outcome: SweepOutcome) -> None:
        say_sweep(self._window.program.messages, outcome)
        workspace = self._space
        if workspace is not None and not workspace.labelling.has_pending and workspace.target.tool_name == "select":
            workspace.labelling.reload()

    def check(self, workspace: Workspace) -> None:
        """Look for labels that are probably wrong."""
        category = workspace.labelling.current_category
        workspace.jobs.check(category.name if category is not None else "")
        workspace.jobs.learn_device()

    def check_done(self, findings: Any) -> None:
        """The labels that look wrong go into the queue."""
        workspace = self._space
        if workspace is None:
            return
        if not findings:
            workspace.program.messages.info(self.tr("No label looks wrong."))
            return
        workspace.review.show_findings(findings)
        findings = [f for found in workspace.queue.findings.values() for f in found]
        if not findings:
            workspace.program.messages.info(self.tr("No label looks wrong but those that you called fine."))
            return
        workspace.look_at_finding()
        workspace.program.messages.info(
            self.tr("%n labels look wrong (photos: {m}).", "", len(findings)).format(
                m=len({f.image_id for f in findings})
            ),
            self.tr("N goes through them, worst first. Drag a keypoint to correct it; Enter says that it is fine."),
        )

    def _tuning_done(self) -> None:
        """Told here when the Tune window was closed meanwhile."""
        workspace = self._space
        if workspace is None or self._dialogs.dialog("tune") is not None:
            return
        tuned, problem = workspace.tuning.tuned, workspace.tuning.problem
        if problem is not None:
            workspace.program.messages.error(problem)
        elif tuned is not None:
            text = self.tr("A prompt is tuned. Held-out PCK@0.1: {a:.0%} before, {b:.0%} after.")
            workspace.program.messages.info(
                text.format(a=tuned.before, b=tuned.after), self.tr("Open the Tune window to keep or discard it.")
            )

    def _find_done(self, summary: FindOutcome) -> None:
        text = self.tr("{name}: %n suggestions (photos searched: {searched}).", "", summary.found).format(
            name=summary.identity or summary.category, searched=summary.searched
        )
        hint = self.tr("Confirm or deny them on the identity page.")
        if not summary.identity:
            hint = self.tr("Found by the word alone: kinds may be mixed up. Accept or reject them in the review queue.")
        self._window.program.messages.info(text, hint)

    def cancel_job(self) -> None:
        """Stop the job of the job bar."""
        workspace, engine = self._space, self._window.program.engine
        if workspace is not None and workspace.session.busy is not None:
            workspace.session.cancel_long()
            return
        job = engine.shown_job
        if job is not None:
            engine.cancel(job)
            engine.poll()

    def pause_job(self, on: bool) -> None:
        """Pause or go on with the job of the job bar."""
        job = self._window.program.engine.shown_job
        if job is not None and (self._space is None or self._space.session.busy is None):
            (job.cancel.pause if on else job.cancel.resume)()
            self._window.registry.set_checked("engine.pause", on)
