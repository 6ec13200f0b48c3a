"""Try everything once in small, in folders of its own: does this installation work on this machine?

`kinmark selfcheck` runs it after an installation and in the checks of packages; nothing of the person's is read or written.
"""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kinmark.engine.api import Engine, EngineConfig, ImageInput, MatchRequest, MatchSettings, Target, open_engine
from kinmark.engine.domain.errors import AppError, OperationCancelled
from kinmark.engine.domain.geometry import longer_side
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.installation import version_text
from kinmark.engine.paths import resources_dir
from kinmark.projects.formats.base import ReadOptions
from kinmark.projects.formats.registry import get_format
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.demo.run import label_exemplar
from kinmark.projects.workflows.demo.steps import score_proposals
from kinmark.projects.workflows.demo.truth import Score, exemplar_image, read_truth, samples_dir
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.propose import propose
from kinmark.projects.workflows.propose_options import ProposeOptions

CATEGORY = "dog"
TARGETS = 3
SHRUNK, MOVED = 0.8, (31, 17)
LEAST_FOUND = 0.6
"""Of the diffusion features alone: the embedded model finds all of them again, one with permuted weights 7 %."""


class NotAsItShould(Exception):
    """A step ran and came out wrong; the message is its detail. Told in this report only."""


class LeftOut(Exception):
    """A step that cannot be tried on this machine, and need not be; the message says why. Told in this report only."""


WindowCheck = Callable[[], float]
_window_check: WindowCheck | None = None


def use_window_check(check: WindowCheck) -> None:
    """The layer above says how to open the window once: a function that returns the seconds until its first paint."""
    global _window_check
    _window_check = check


@dataclass(frozen=True)
class Step:
    """One thing tried. `detail`: what was seen, or what went wrong and what to do."""

    name: str
    ok: bool
    seconds: float
    detail: str
    skipped: bool = False


@dataclass
class SelfCheck:
    """All steps; `ok` when none failed."""

    version: str
    steps: list[Step] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing failed (what was left out is no failure)."""
        return all(step.ok or step.skipped for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """For `kinmark selfcheck --json`."""
        return {"ok": self.ok, "version": self.version, "steps": [asdict(step) for step in self.steps]}


def run_selfcheck(
    *,
    cancel: CancelToken | None = None,
    report: Callable[[Step], None] | None = None,
    model: bool = True,
    window: bool = True,
) -> SelfCheck:
    """Run every step; a failing one does not keep the others from running.

    Args:
        report: called after each step.
        model, window: False leaves these steps out (minutes on a slow machine; needs Qt's system libraries).
    """
    cancel = cancel or CancelToken()
    result = SelfCheck(version_text())
    wanted: list[tuple[str, Callable[[Path], str] | None]] = [
        ("resources", _resources),
        ("project", lambda folder: _project(folder / "store")),
        ("exchange", lambda folder: _exchange(folder / "exchange")),
        ("model", (lambda folder: _model(folder / "model", cancel)) if model else None),
        ("window", (lambda _: _window()) if window and _window_check is not None else None),
    ]
    with tempfile.TemporaryDirectory(prefix="kinmark-selfcheck-") as name, _folders_below(Path(name)):
        for title, run in wanted:
            step = Step(title, False, 0.0, "left out", skipped=True) if run is None else _try(title, run, Path(name))
            result.steps.append(step)
            if report is not None:
                report(step)
    return result


@contextmanager
def _folders_below(folder: Path) -> Iterator[None]:
    """Settings, caches and logs of the check lie in `folder`, too."""
    before = os.environ.get("KINMARK_HOME")
    os.environ["KINMARK_HOME"] = str(folder / "home")
    try:
        yield
    finally:
        if before is None:
            del os.environ["KINMARK_HOME"]
        else:
            os.environ["KINMARK_HOME"] = before


def _try(name: str, run: Callable[[Path], str], folder: Path) -> Step:
    started = time.monotonic()
    try:
        ok, detail = True, run(folder)
    except OperationCancelled:
        raise
    except LeftOut as reason:
        return Step(name, False, time.monotonic() - started, str(reason), skipped=True)
    except AppError as error:
        ok, detail = False, f"{error.user_message} {error.hint}".strip()
    except NotAsItShould as error:
        ok, detail = False, str(error)
    except Exception as error:  # noqa: BLE001 - whatever is broken has to be named, and the next step tried
        place = traceback.extract_tb(error.__traceback__)[-1]
        ok, detail = False, f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
    return Step(name, ok, time.monotonic() - started, detail)


def _resources(_: Path) -> str:
    """Everything that is read at run time came along."""
    root = resources_dir()
    needed = (
        "models/embedded/checksums.json",
        "models/embedded/unet/diffusion_pytorch_model.safetensors",
        "samples/annotations.json",
        "calibration/keypoints.json",
        "icons/kinmark.svg",
        "keymaps/kinmark.toml",
        "translations/de.tsv",
        "translations/kinmark_de.qm",
    )
    missing = [name for name in needed if not (root / name).is_file()]
    if missing:
        raise NotAsItShould(f"Missing in {root}: {', '.join(missing)}. Reinstall Kinmark.")
    photos = len(list((root / "samples" / "images").glob("*.jpg")))
    return f"{root}, {photos} sample photos"


def _exemplar_project(folder: Path) -> Project:
    """A project of the sample collection in which the exemplar of `CATEGORY` is labelled."""
    truth = read_truth()
    project = Project.create(folder)
    try:
        add_paths(project, [samples_dir()])
        true = next(c for c in truth.categories if c.name == CATEGORY)
        category = project.queries.category(project.operations.add_category(true.name, true.schema).ids[0])
        assert category is not None
        label_exemplar(project, category, exemplar_image(truth, CATEGORY))
    except BaseException:
        project.close()
        raise
    return project


def _targets(project: Project) -> tuple[int, ...]:
    """Ids of the photos that get proposals: the first of the kind beside the exemplar."""
    first = str(exemplar_image(read_truth(), CATEGORY).rel_path)
    names = [
        str(image.rel_path) for image in read_truth().images if any(i.category == CATEGORY for i in image.instances)
    ]
    rows = [project.queries.image_named(name) for name in names if name != first]
    return tuple(row.id for row in rows if row is not None)[:TARGETS]


def _counts(project: Project) -> tuple[int, int, int]:
    counts = project.queries.counts()
    return counts.all, counts.instances, counts.keypoints


def _project(folder: Path) -> str:
    """Make, write, undo, redo, close, open again, back up, check."""
    folder = folder.with_suffix(".kinmark")
    with _exemplar_project(folder) as project:
        written = _counts(project)
        project.undo()
        undone = _counts(project)
        project.redo()
        if undone == written or _counts(project) != written or written[1:] == (0, 0):
            raise NotAsItShould(f"Undo and redo do not meet: {written}, {undone}, {_counts(project)}.")
    with Project.open(folder) as project:
        problems = project.check_integrity()
        if _counts(project) != written or problems:
            raise NotAsItShould(
                f"The project opened again differs: {_counts(project)} instead of {written}. {problems[:1]}"
            )
        backup = project.back_up(reason="selfcheck")
    return f"{written[2]} keypoints written, undone, redone, read again; backup of {backup.stat().st_size} bytes"


def _exchange(folder: Path) -> str:
    """COCO out and in again: the same keypoints."""
    with _exemplar_project(folder.with_suffix(".kinmark")) as project:
        export_project(project, folder / "coco", ExportOptions("coco"))
    back, _ = get_format("coco").reader(folder / "coco" / "annotations.json", ReadOptions())
    kept = next(image for image in back.images if image.instances).instances[0].keypoints
    true = exemplar_image(read_truth(), CATEGORY).instances[0].keypoints
    if {n: (k.x, k.y, k.visibility) for n, k in kept.items()} != {n: (k.x, k.y, k.visibility) for n, k in true.items()}:
        raise NotAsItShould("The keypoints of the exported COCO file are not those that were labelled.")
    return f"{len(kept)} keypoints through COCO and back"


def _model(folder: Path, cancel: CancelToken) -> str:
    """The main job on four photos (one labelled, three proposed), and keypoints found again in a moved copy of a photo."""
    engine = open_engine(EngineConfig(cache_dir=folder / "cache"))
    try:
        found = _found_in_a_copy(engine, folder / "moved.png", cancel)
        info = engine.info()
        seen = f"{found:.0%} of the keypoints found again in a moved copy, {info.device} {info.dtype}"
        if found < LEAST_FOUND:
            raise NotAsItShould(
                f"The model does not see what it should: {seen}; at least {LEAST_FOUND:.0%} are expected."
            )
        with _exemplar_project(folder.with_suffix(".kinmark")) as project:
            options = ProposeOptions(category=CATEGORY, image_ids=_targets(project))
            [outcome] = propose(project, engine, options, cancel=cancel)
            scores = {CATEGORY: Score()}
            score_proposals(project, read_truth(), scores, 0.5)
    finally:
        engine.close()
    if outcome.failures or outcome.proposals != TARGETS:
        raise NotAsItShould(f"{outcome.proposals} of {TARGETS} photos got proposals. {outcome.failures[:1] or ''}")
    pck = scores[CATEGORY].pck or 0.0
    return f"{outcome.keypoints} keypoints on {outcome.proposals} photos (PCK@0.1 {pck:.2f}), {seen}"


def _found_in_a_copy(engine: Engine, file: Path, cancel: CancelToken) -> float:
    """Share of the exemplar's visible keypoints matched within 0.05 of its box in a smaller, moved, darker copy."""
    true = exemplar_image(read_truth(), CATEGORY)
    source = samples_dir() / str(true.rel_path)
    file.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as photo:
        width, height = photo.size
        small = photo.convert("RGB").resize((round(width * SHRUNK), round(height * SHRUNK)))
    copy = Image.new("RGB", (width, height), (90, 100, 95))
    copy.paste(small.point(lambda v: v * 0.85), MOVED)
    copy.save(file)
    box = true.instances[0].box
    assert box is not None
    points = np.array(
        [
            (k.x, k.y)
            for k in true.instances[0].keypoints.values()
            if k.visibility == Visibility.VISIBLE and k.x is not None
        ],
        np.float64,
    )
    request = MatchRequest(
        "selfcheck",
        ImageInput("source", source),
        points,
        Target(ImageInput("copy", file)),
        want_maps=False,
        settings=MatchSettings(fusion_weight=0.0),
    )
    matched = engine.match(request, cancel=cancel).points_xy_image
    scale = np.array([small.width / width, small.height / height])
    distance = np.linalg.norm(matched - (points * scale + MOVED), axis=1)
    return float((distance <= 0.05 * longer_side(box)).mean())


def _window() -> str:
    assert _window_check is not None
    return f"first paint after {_window_check():.2f} s"
