"""Confidence of proposed keypoints: fit the shipped prior, and measure it on held-out rendered sets (methods/confidence.md).

`python -m benchmarks.calibration --write` fits on one half of the sets and stores `resources/calibration/keypoints.json`;
without it the stored prior is only measured, on the other half: ECE, AUROC of the absent decision, what "95 %" accepts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.common import Row, finish, parser
from benchmarks.real_sets import choose, load_set, proposed
from benchmarks.sequences import SEQUENCES
from benchmarks.training.bodies import twin_pairs
from benchmarks.training.scenes import HELD_OUT, SceneOptions, render_scene
from kinmark.engine.api import EngineConfig, Exemplar, ImageInput, ProposeRequest, Target
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.domain.proposals import KeypointSignals
from kinmark.engine.matching.confidence import (
    CORRECT_WITHIN,
    add_isotonic_steps,
    auroc,
    expected_calibration_error,
    fit_logistic,
    out_of_fold,
    probability,
    reliability,
    signal_matrix,
    threshold_for_precision,
)
from kinmark.engine.matching.evidence.gather import RawKeypoints
from kinmark.engine.matching.facing import predict_facing
from kinmark.engine.paths import resources_dir
from kinmark.engine.pipelines.sweep import asked, decide_plan, gather_all, open_heads, open_matcher, swap_probability
from kinmark.engine.session import EngineSession

SIZE = 256
STRENGTH = 3.0


@dataclass(frozen=True)
class LabelledSet:
    """Photos of one category with truth: `xy` `[N, K, 2]` NaN where absent, `visibility` `[N, K]`; `group` names the views."""

    name: str
    group: str
    schema: KeypointSchema
    images: tuple[ImageInput, ...]
    xy: np.ndarray
    visibility: np.ndarray


@dataclass(frozen=True)
class SetPlan:
    """What to render: `azimuth` limits the camera's angle (None = all round), `shots` exemplars are labelled."""

    category: str
    shots: int
    azimuth: tuple[float, float] | None = None
    one_identity: bool = True


SIDE = (0.35, 1.5)
"""The left front side, as in the sample collection."""
PLANS = (
    SetPlan("dog", 3, SIDE, False),
    SetPlan("bird", 5, SIDE),
    SetPlan("car", 3, SIDE, False),
    SetPlan("horse", 1, SIDE),
    SetPlan("dog", 5),
    SetPlan("horse", 3, None, False),
    SetPlan("bird", 3),
    SetPlan("car", 1),
    SetPlan("chair", 3),
    SetPlan("mouse", 3, None, False),
    SetPlan("hand", 1),
)
FILMED_SHOTS = (3, 1, 3)
CUT_EVERY = 2
"""Every second picture is cut, so that some keypoints lie outside."""


def rendered_set(plan: SetPlan, seed: int, count: int, folder: Path) -> LabelledSet:
    """Scenes of one category; every second one is cut so that some keypoints are missing."""
    generator = np.random.default_rng(seed)
    images, points, seen, names = [], [], [], ()
    for index in range(count):
        number = HELD_OUT + 50_000_000 + seed * 1000 + index * 4
        identity = (HELD_OUT // 4 + seed) if plan.one_identity else None
        options = SceneOptions(category=plan.category, identity=identity, distractor=False, azimuth=plan.azimuth)
        scene = render_scene(number, SIZE, options)
        body = scene.objects[0]
        names = body.keypoint_names
        xy = np.where((body.visibility > 0)[:, None], body.xy_image, np.nan).astype(np.float64)
        picture = scene.image
        if index % CUT_EVERY == CUT_EVERY - 1:
            picture, xy = _cut(picture, xy, generator)
        path = folder / f"{plan.category}_{seed}_{index}.png"
        Image.fromarray(picture).save(path)
        images.append(ImageInput(path.name, path))
        points.append(xy)
        seen.append(np.where(np.isfinite(xy[:, 0]), body.visibility, 0))
    schema = KeypointSchema(tuple(names), (), twin_pairs(tuple(names)))
    group = "all round" if plan.azimuth is None else "side views"
    return LabelledSet(f"{plan.category}-{seed}", group, schema, tuple(images), np.stack(points), np.stack(seen))


def _cut(picture: np.ndarray, xy: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random square of half to three quarters of the side."""
    side = int(SIZE * generator.uniform(0.5, 0.75))
    x, y = generator.integers(0, SIZE - side, 2)
    moved = xy - [x, y]
    moved[((moved < 0) | (moved > side)).any(axis=1)] = np.nan
    return picture[y : y + side, x : x + side], moved


def filmed_set(name: str, seed: int, count: int, folder: Path) -> LabelledSet:
    """A fixed-camera or side-view sequence."""
    sequence = SEQUENCES[name](count, seed=seed)
    paths = sequence.write(folder / f"{name}{seed}")
    visibility = np.stack([f.visibility for f in sequence.frames])
    xy = np.stack([np.where((f.visibility > 0)[:, None], f.xy_image, np.nan) for f in sequence.frames])
    images = tuple(ImageInput(p.name, p) for p in paths)
    return LabelledSet(f"{name}-{seed}", "filmed", sequence.schema, images, xy, visibility)


def all_sets(folder: Path, half: int, targets: int) -> Iterator[tuple[LabelledSet, int]]:
    """(set, number of exemplars) of one half (0 = fitting, 1 = held out: other seeds, identities and scenes)."""
    for index, plan in enumerate(PLANS):
        # Cut pictures with hardly a keypoint left are passed over, so more are drawn than needed.
        yield rendered_set(plan, 2 * index + half, targets + 2 * plan.shots, folder), plan.shots
    for index, name in enumerate(SEQUENCES):
        shots = FILMED_SHOTS[index]
        yield filmed_set(name, 100 + 2 * index + half, targets + shots, folder), shots


@dataclass(frozen=True)
class Judged:
    """One proposed photo with its truth: `near` `[K]` within 0.1 box, `visibility` `[K]` (0 = absent), `known` `[K]`."""

    name: str
    group: str
    raw: RawKeypoints
    truth: np.ndarray
    near: np.ndarray
    visibility: np.ndarray
    known: np.ndarray
    length: float
    schema: KeypointSchema

    @property
    def present(self) -> np.ndarray:
        """`[K]` bool."""
        return self.visibility > 0


def request_of(labelled: LabelledSet, shots: int, targets: int, backbone: str) -> tuple[ProposeRequest, list[int]]:
    """The first `shots` uncut photos as exemplars, the others to look at."""
    usable = [i for i in range(len(labelled.images)) if (labelled.visibility[i] > 0).sum() >= 3]
    whole = [i for i in usable if labelled.group == "filmed" or i % CUT_EVERY != CUT_EVERY - 1]
    chosen = whole[:shots]
    rest = [i for i in usable if i not in chosen][:targets]
    exemplars = tuple(
        Exemplar(labelled.images[i], InstanceKeypoints(labelled.xy[i], labelled.visibility[i])) for i in chosen
    )
    return ProposeRequest(
        "benchmark",
        labelled.name,
        labelled.schema,
        exemplars,
        tuple(Target(labelled.images[i]) for i in rest),
        backbone=backbone,
    ), rest


def propose_set(session: EngineSession, backbone: str, labelled: LabelledSet, shots: int, targets: int) -> list[Judged]:
    """Raw keypoints of the photos that are no exemplars; the first `shots` uncut photos are."""
    request, rest = request_of(labelled, shots, targets, backbone)
    matcher = open_matcher(session, request, None)
    plan = decide_plan(session, matcher, request, None, None)
    matcher.context.weight_is_open = False
    heads = open_heads(session, matcher, request, plan, None)
    judged = []
    for i in rest:
        target = Target(labelled.images[i])
        raw = gather_all(matcher, asked(matcher, heads, target, predict_facing(matcher, target, plan)))
        truth = labelled.xy[i]
        inside = truth[np.isfinite(truth[:, 0])]
        length = float((inside.max(axis=0) - inside.min(axis=0)).max())
        near = np.linalg.norm(raw.xy_image - truth, axis=1) <= CORRECT_WITHIN * length
        judged.append(
            Judged(
                labelled.name,
                labelled.group,
                raw,
                truth,
                near,
                labelled.visibility[i],
                raw.known,
                length,
                labelled.schema,
            )
        )
    return judged


def collect(session: EngineSession, backbone: str, half: int, targets: int) -> list[Judged]:
    """Everything proposed on one half of the sets."""
    found: list[Judged] = []
    with TemporaryDirectory() as name:
        for labelled, shots in all_sets(Path(name), half, targets):
            judged = propose_set(session, backbone, labelled, shots, targets)
            hits = np.concatenate([j.near[j.known & j.present] for j in judged])
            print(
                f"{labelled.name:14s} {labelled.group:10s} {shots} exemplars: PCK@0.1 {100 * hits.mean():.0f}",
                flush=True,
            )
            found += judged
    return found


@dataclass(frozen=True)
class Table:
    """All judged keypoints in one table: `signals` (N), `correct`, `present` `[N]` bool, `group` and `name` (N) of the set."""

    signals: list[KeypointSignals]
    correct: np.ndarray
    present: np.ndarray
    group: np.ndarray
    name: np.ndarray | None = None


def table_of(judged: list[Judged]) -> Table:
    """Keypoints that some exemplar shows."""
    signals = [s for j in judged for s, known in zip(j.raw.signals, j.known, strict=True) if known]
    return Table(
        signals,
        np.concatenate([j.near[j.known] for j in judged]),
        np.concatenate([j.present[j.known] for j in judged]),
        np.concatenate([np.full(int(j.known.sum()), j.group) for j in judged]),
        np.concatenate([np.full(int(j.known.sum()), j.name) for j in judged]),
    )


def real_table(
    session: EngineSession, backbone: str, data: Path, labels: Sequence[int], choices: Sequence[int]
) -> Table:
    """Keypoints proposed on the real sets of `benchmarks.real_sets`; `group` and `name` are the set's name."""
    signals, correct, present, names = [], [], [], []
    for folder in sorted(p.parent for p in data.glob("*/keypoints.json")):
        real = load_set(folder)
        if real is None:
            continue
        for count in labels:
            for choice in choices:
                exemplars, judged = choose(real, count, choice)
                for index, k, keypoint in proposed(session, backbone, real, exemplars, judged):
                    there = bool(real.visible[index, k])
                    miss = np.hypot(keypoint.x - real.xy[index, k, 0], keypoint.y - real.xy[index, k, 1])
                    signals.append(keypoint.signals)
                    correct.append(there and miss <= CORRECT_WITHIN * real.length[index])
                    present.append(there)
                    names.append(real.name)
                print(f"{real.name} {count} #{choice}", flush=True)
    return Table(signals, np.array(correct), np.array(present), np.array(names), np.array(names))


def joined(tables: Sequence[Table]) -> Table:
    """All rows of several tables."""
    return Table(
        [s for t in tables for s in t.signals],
        np.concatenate([t.correct for t in tables]),
        np.concatenate([t.present for t in tables]),
        np.concatenate([t.group for t in tables]),
        np.concatenate([t.group if t.name is None else t.name for t in tables]),
    )


def left_out_rows(table: Table) -> list[Row]:
    """Each set by models that were fitted on the others: what a new collection gets."""
    features = signal_matrix(table.signals)
    sets = table.group if table.name is None else table.name
    confidence = out_of_fold(features, table.correct, sets, strength=STRENGTH)
    present = out_of_fold(features, table.present, sets, strength=STRENGTH)
    rows = [
        Row("leave one set out: ECE", expected_calibration_error(confidence, table.correct), ""),
        _absent_row("leave one set out: AUROC of absent", present, table.present),
    ]
    for low in (0.8, 0.9):
        chosen = confidence >= low
        if chosen.any():
            note = f"of {int(chosen.sum())}"
            rows.append(
                Row(f"leave one set out: right of >= {low:g}", float(table.correct[chosen].mean()), "", note=note)
            )
    return rows


def fit_prior(table: Table) -> dict[str, dict]:
    """The two models of `resources/calibration/keypoints.json`; their steps speak of sets that a model has not seen."""
    features = signal_matrix(table.signals)
    sets = table.group if table.name is None else table.name
    return {name: _fit_one(features, getattr(table, name), sets) for name in ("correct", "present")}


def _fit_one(features: np.ndarray, labels: np.ndarray, sets: np.ndarray) -> dict:
    model = fit_logistic(features, labels, strength=STRENGTH)
    several = len(np.unique(sets)) > 1
    raw = out_of_fold(features, labels, sets, strength=STRENGTH) if several else None
    return add_isotonic_steps(model, features, labels, raw=raw)


def main(argv: list[str] | None = None) -> int:
    """Fit (with --write) and measure."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--backbone", default="embedded")
    arguments.add_argument("--targets", type=int, default=12, help="proposed photos per set")
    arguments.add_argument(
        "--data", type=Path, default=None, help="folder of real sets: fit on them, too, each left out once"
    )
    arguments.add_argument("--labels", type=int, nargs="+", default=[1, 3, 5, 10])
    arguments.add_argument("--write", action="store_true", help="fit and store the prior first")
    options = arguments.parse_args(argv)
    real_rows: list[Row] = []
    with TemporaryDirectory() as cache:
        session = EngineSession(EngineConfig(device="auto", cache_dir=Path(cache), threads=1))
        file = resources_dir() / "calibration" / "keypoints.json"
        if options.write:
            tables = [table_of(collect(session, options.backbone, 0, options.targets))]
            if options.data is not None and options.data.is_dir():
                tables.append(real_table(session, options.backbone, options.data, options.labels, (0,)))
            table = joined(tables)
            real_rows = left_out_rows(table)
            prior = fit_prior(table)
            file.parent.mkdir(parents=True, exist_ok=True)
            stored = json.loads(file.read_text(encoding="utf-8"))
            file.write_text(json.dumps({**stored, options.backbone: prior}, indent=1) + "\n", encoding="utf-8")
        held = collect(session, options.backbone, 1, options.targets)
        session.close()
    stored = json.loads(file.read_text(encoding="utf-8"))
    rows = measure(stored.get(options.backbone, stored["default"]), table_of(held)) + side_rows(held) + real_rows
    finish("calibration", rows, options.json)
    return 0


def measure(model: dict[str, dict], held: Table) -> list[Row]:
    """ECE, AUROC, what the thresholds accept, and the reliability diagram on held-out data."""
    features = signal_matrix(held.signals)
    confidence = probability(model["correct"], features)
    present = probability(model["present"], features)
    threshold = threshold_for_precision(confidence, held.correct, 0.95)
    rows = [
        Row("keypoints", len(confidence), ""),
        Row("share correct", float(held.correct.mean()), ""),
        Row("ECE", expected_calibration_error(confidence, held.correct), ""),
        Row("AUROC of correct", auroc(confidence, held.correct), ""),
        _absent_row("AUROC of absent", present, held.present),
    ]
    for group in np.unique(held.group):
        own = held.group == group
        rows.append(_absent_row(f"AUROC of absent, {group}", present[own], held.present[own]))
    rows.append(Row("lowest confidence with 95 % precision", threshold, ""))
    for low in (0.8, 0.9, 0.95):
        chosen = confidence >= low
        if chosen.any():
            right = float(held.correct[chosen].mean())
            rows.append(Row(f"precision at confidence >= {low:g}", right, "", note=f"of {int(chosen.sum())}"))
    for mean, right, count in reliability(confidence, held.correct):
        rows.append(Row(f"reliability {mean:.2f}", right, "", note=f"of {count}"))
    return rows


def side_rows(held: list[Judged]) -> list[Row]:
    """Left and right: keypoints on their twin's place before and after the twins are chosen together, and what the
    "sides swapped?" flag is worth (an instance is swapped when trading all names would put more of them right)."""
    rows = []
    for group in ("", *sorted({j.group for j in held})):
        own = [j for j in held if j.schema.pairs and group in ("", j.group)]
        pairs = [_side_errors(j) for j in own]
        before, after = (np.concatenate([p[i] for p in pairs]) if pairs else np.zeros(0) for i in (0, 1))
        if not len(before):
            continue
        name = f", {group}" if group else ""
        note = f"of {len(before)} keypoints whose twin is in the picture; {100 * before.mean():.1f} % before"
        rows.append(Row(f"on the twin's place{name}", 100 * float(after.mean()), "%", note=note))
    judged = [(swap_probability(j.raw.swap_gain) > 0.5, _is_swapped(j)) for j in held if j.schema.pairs]
    flagged, swapped = sum(f for f, _ in judged), sum(s for _, s in judged)
    both = sum(f and s for f, s in judged)
    note = f"{flagged} flagged, {swapped} swapped of {len(judged)} instances"
    rows.append(Row("sides swapped: precision", both / flagged if flagged else float("nan"), "", note=note))
    rows.append(Row("sides swapped: recall", both / swapped if swapped else float("nan"), "", note=note))
    return rows


def _side_errors(judged: Judged) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints that lie within 0.1 of their twin and nearer to it than to their own place: before and after, `[N]` bool."""
    use, truth = _with_twin(judged), judged.truth[list(judged.schema.flip_index)]
    answers = []
    for xy in (judged.raw.alone_xy_image, judged.raw.xy_image):
        own = np.linalg.norm(xy - judged.truth, axis=1)
        other = np.linalg.norm(xy - truth, axis=1)
        answers.append(((other < own) & (other <= CORRECT_WITHIN * judged.length))[use])
    return answers[0], answers[1]


def _with_twin(judged: Judged) -> np.ndarray:
    """`[K]` keypoints that are in the picture with a twin that is apart from them."""
    flip = list(judged.schema.flip_index)
    apart = np.linalg.norm(judged.truth - judged.truth[flip], axis=1) > CORRECT_WITHIN * judged.length
    return judged.known & judged.present & judged.present[flip] & apart


def _is_swapped(judged: Judged) -> bool:
    use, flip = _with_twin(judged), list(judged.schema.flip_index)
    limit = CORRECT_WITHIN * judged.length
    own = np.linalg.norm(judged.raw.xy_image - judged.truth, axis=1)[use] <= limit
    traded = np.linalg.norm(judged.raw.xy_image[flip] - judged.truth, axis=1)[use] <= limit
    return int(traded.sum()) > int(own.sum())


def _absent_row(name: str, present: np.ndarray, truth: np.ndarray) -> Row:
    """With the standard error of Hanley and McNeil (1982)."""
    value = auroc(-present, ~truth)
    absent, there = int((~truth).sum()), int(truth.sum())
    if not absent or not there:
        return Row(name, value, "", note=f"{absent} absent")
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (absent - 1) * (q1 - value**2) + (there - 1) * (q2 - value**2)
    return Row(name, value, "", note=f"± {np.sqrt(spread / (absent * there)):.3f} s.e., {absent} absent")


if __name__ == "__main__":
    raise SystemExit(main())
