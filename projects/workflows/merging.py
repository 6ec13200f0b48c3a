"""Take the labels of another Kinmark project into this one: how teams share work without a server.

Photos are the same when their bytes are, categories, keypoints and identities when their names are. What both labelled
differently is a conflict: listed, and settled by one rule. Everything is one undo step, planned first and shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.base import begin, tick
from kinmark.projects.formats.dataset import DatasetImage, DatasetInstance, Report
from kinmark.projects.project import Project
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.inputs import NewImage
from kinmark.projects.store.rows import CategoryRow, ImageRow, InstanceRow
from kinmark.projects.workflows.agreement import Agreement, match_instances
from kinmark.projects.workflows.exporting import ExportOptions, instance_of, project_dataset
from kinmark.projects.workflows.image_match import ImageMatch
from kinmark.projects.workflows.import_plan import ImportPlan, InstancePlan, compare, differences, plan_categories
from kinmark.projects.workflows.import_writer import PlanWriter

RULES = ("keep", "theirs", "both")
PAGE = 500


@dataclass(frozen=True)
class Conflict:
    """One instance that both projects label differently; `differences` as sentences."""

    photo: str
    category: str
    differences: tuple[str, ...]


@dataclass
class MergeResult:
    """What a merge does (or would do): counts of instances and photos, conflicts, agreement, and the operation.

    `changes` is None for a preview and when there was nothing to do.
    """

    photos_common: int
    photos_added: int
    added: int
    completed: int
    replaced: int
    kept: int
    same: int
    conflicts: list[Conflict]
    agreement: dict[str, Any]
    report: Report
    rule: str
    categories_matched: list[str] = field(default_factory=list)
    categories_added: list[str] = field(default_factory=list)
    identities_joined: list[str] = field(default_factory=list)
    identities_added: list[str] = field(default_factory=list)
    changes: OpChanges | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "photos_common": self.photos_common,
            "photos_added": self.photos_added,
            "added": self.added,
            "completed": self.completed,
            "replaced": self.replaced,
            "kept": self.kept,
            "same": self.same,
            "rule": self.rule,
            "categories_matched": self.categories_matched,
            "categories_added": self.categories_added,
            "identities_joined": self.identities_joined,
            "identities_added": self.identities_added,
            "conflicts": [
                {"photo": c.photo, "category": c.category, "differences": list(c.differences)} for c in self.conflicts
            ],
            "agreement": self.agreement,
            "dry_run": self.changes is None,
            "report": self.report.to_json(),
        }


def preview_merge(
    project: Project,
    other: Project,
    rule: str = "keep",
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> MergeResult:
    """What `merge_project` would do; nothing is written."""
    return _Merge(project, other, rule).plan(progress, cancel)


def merge_project(
    project: Project,
    other: Project,
    rule: str = "keep",
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> MergeResult:
    """Bring the labels of `other` into `project` as one undo step.

    Args:
        rule: where both label the same thing differently: "keep" (this project's labels stay), "theirs" (the other's
            replace them), "both" (the other's become a further instance).

    Raises:
        UserInputError: an unknown rule, or both are one project.
    """
    merge = _Merge(project, other, rule)
    result = merge.plan(progress, cancel)
    if result.added or result.completed or result.replaced or result.photos_added or merge.has_words:
        with project.group(said("Merge the project {name}", name=other.name)) as op:
            PlanWriter(project, other.folder, as_proposals=False).write(merge.import_plan, progress, cancel)
        result.changes = op.changes
    return result


class _Merge:
    """Plans one merge; `import_plan` is what would be written."""

    def __init__(self, project: Project, other: Project, rule: str) -> None:
        if rule not in RULES:
            raise UserInputError(
                said('There is no rule "{0}" for conflicts.', rule), said("Use one of: {0}.", ", ".join(RULES))
            )
        if project.folder.resolve() == other.folder.resolve():
            raise UserInputError("A project cannot be merged into itself.", "Give two different project folders.")
        self._project, self._other, self._rule = project, other, rule
        self._conflicts: list[Conflict] = []
        self._agreement = Agreement()
        self._same = self._kept = 0
        self._replaced: set[int] = set()
        self._splits = project.queries.splits()
        self._nothing: dict[int, set[str]] = {}
        names = {row.id: row.name for row in project.queries.categories()}
        for image_id, category_id in project.queries.nothing_here():
            self._nothing.setdefault(image_id, set()).add("*" if category_id is None else names[category_id])
        self._identities = {row.id: row.name for row in project.queries.identities()}
        self.has_words = False

    def plan(self, progress: Progress | None, cancel: CancelToken | None) -> MergeResult:
        """Decide everything; reads both projects, writes nothing."""
        begin(progress, "Comparing the projects", 0)
        theirs, items = project_dataset(self._other, ExportOptions(), own_ids=False, cancel=cancel)
        report = Report("kinmark", items=list(items))
        self.import_plan = ImportPlan(theirs, report)
        known = {row.name for row in self._project.queries.categories()}
        plan_categories(self._project, self.import_plan)
        photos = self._photos(report)
        begin(progress, "Comparing labels", len(photos))
        names = {row.id: row for row in self._project.queries.categories()}
        for start in range(0, len(photos), PAGE):
            page = photos[start : start + PAGE]
            mine: dict[int, list[InstanceRow]] = {}
            for row in self._project.queries.instances(image_ids=[m.row.id for m in page if m.row is not None]):
                mine.setdefault(row.image_id, []).append(row)
            for match in page:
                own = mine.get(match.row.id, []) if match.row is not None else []
                self._add(match, own, names)
            tick(progress, cancel, count=len(page))
        pending = sum(self._other.queries.pending_counts().values())
        if pending:
            report.add("skipped", said("%n pending proposals", n=pending), "only accepted labels are merged")
        return self._result(report, known)

    def _result(self, report: Report, known: set[str]) -> MergeResult:
        plan = self.import_plan
        mine = {row.name for row in self._project.queries.identities()}
        used = {p.instance.identity for plans in plan.instances for p in plans if p.instance.identity}
        names = [c.name for c in plan.dataset.categories]
        return MergeResult(
            sum(m.row is not None for m in plan.images),
            sum(m.new is not None for m in plan.images),
            plan.count("added"),
            self._count("changed", replaced=False),
            self._count("changed", replaced=True),
            self._kept,
            self._same,
            self._conflicts,
            self._agreement.to_json(),
            report,
            self._rule,
            [n for n in names if n in known],
            plan.new_categories,
            sorted(used & mine),
            sorted(used - mine),
        )

    def _count(self, verdict: str, *, replaced: bool) -> int:
        return sum(
            p.verdict == verdict and (id(p) in self._replaced) == replaced
            for plans in self.import_plan.instances
            for p in plans
        )

    def _photos(self, report: Report) -> list[ImageMatch]:
        """Each photo of the other project with ours of the same bytes (else of the same place), or as a new one."""
        by_sha: dict[str, list[ImageRow]] = {}
        by_path: dict[Path, ImageRow] = {}
        for row in self._project.queries.iter_images():
            by_sha.setdefault(row.sha256, []).append(row)
            by_path[row.path] = row
        theirs = {str(row.path): row for row in self._other.queries.iter_images()}
        roots = self._other.queries.roots()
        matches: list[ImageMatch] = []
        taken: set[int] = set()
        for image in self.import_plan.dataset.images:
            row = theirs[image.source_path]
            same = [r for r in by_sha.get(row.sha256, ()) if row.sha256 and r.id not in taken]
            own = next((r for r in same if r.file_name == row.file_name), same[0] if same else None)
            if own is None:
                own = by_path.get(row.path)
                if own is not None and own.id not in taken:
                    report.add("flagged", str(image.rel_path), "the same place, but other bytes than in this project")
                else:
                    own = None
            if own is not None and own.size_wh != row.size_wh:
                report.add(
                    "skipped",
                    str(image.rel_path),
                    said("{0} x {1} there, {2} x {3} here", row.width, row.height, own.width, own.height),
                )
                continue
            if own is not None:
                taken.add(own.id)
                matches.append(ImageMatch(image, own))
            else:
                matches.append(ImageMatch(image, None, _new_image(row, roots[row.root_id])))
        return matches

    def _add(self, match: ImageMatch, own: list[InstanceRow], names: dict[int, CategoryRow]) -> None:
        image = match.image
        categories = {row.name: row for row in names.values()}
        mine = [instance_of(row, names[row.category_id], self._identities.get(row.identity_id or 0, "")) for row in own]
        theirs = list(image.instances)
        pairs = match_instances(mine, theirs)
        if mine and theirs:
            self._agreement.add_photo(mine, theirs, pairs, categories)
        partner = {j: i for i, j in pairs}
        plans: list[InstancePlan] = []
        nothing = self._nothing_here(match)
        for number, instance in enumerate(theirs):
            if number in partner:
                row = own[partner[number]]
                self._settle(instance, row, names[row.category_id], str(image.rel_path), plans)
            elif nothing & {"*", instance.category} and self._rule == "keep":
                sentence = 'this project says "nothing here"'
                self._conflicts.append(Conflict(str(image.rel_path), instance.category, (sentence,)))
                self._kept += 1
            else:
                plans.append(InstancePlan(instance, "added"))
        self.import_plan.images.append(replace(match, image=self._words(match)))
        self.import_plan.instances.append(plans)

    def _settle(
        self, instance: DatasetInstance, row: InstanceRow, category: CategoryRow, photo: str, plans: list[InstancePlan]
    ) -> None:
        """What happens to an instance that both have."""
        own = self._identities.get(row.identity_id or 0, "")
        sentences = list(differences(instance, row, category).values())
        if own and instance.identity and own != instance.identity:
            sentences.append(said('"{0}" here, "{1}" there', own, instance.identity))
        completed = compare(instance, row, category, overwrite=False)
        if sentences:
            self._conflicts.append(Conflict(photo, instance.category, tuple(sentences)))
            if self._rule == "both":
                plans.append(InstancePlan(instance, "added"))
                return
            if self._rule == "theirs":
                plan = replace(compare(instance, row, category, overwrite=True), verdict="changed")
                plan.take_identity = bool(instance.identity) and own != instance.identity
                self._replaced.add(id(plan))
                plans.append(plan)
                return
        if completed.verdict == "changed":
            plans.append(completed)
        elif sentences:
            self._kept += 1
        else:
            self._same += 1

    def _nothing_here(self, match: ImageMatch) -> set[str]:
        return self._nothing.get(match.row.id, set()) if match.row is not None else set()

    def _words(self, match: ImageMatch) -> DatasetImage:
        """The photo's split, tags and "nothing here" as far as this project says nothing else."""
        image = match.image
        if match.row is not None:
            own = self._splits.get(match.row.id, "")
            if own and image.split and own != image.split:
                self.import_plan.report.add(
                    "kept", str(image.rel_path), said("split {0} here, {1} there", own, image.split)
                )
            tags = tuple(t for t in image.tags if t not in self._project.queries.tags_of(match.row.id))
            known = self._nothing_here(match)
            nothing = tuple(n for n in image.nothing_here if n not in known)
            image = replace(image, split="" if own else image.split, tags=tags, nothing_here=nothing)
        self.has_words = self.has_words or bool(image.split or image.tags or image.nothing_here or image.exhaustive)
        return image


def _new_image(row: ImageRow, root: Path) -> NewImage:
    return NewImage(
        root,
        row.file_name,
        row.width,
        row.height,
        row.orientation,
        1,
        row.sha256,
        row.size_bytes,
        row.mtime_ns,
        row.source_id,
    )
