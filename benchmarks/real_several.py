"""The yardstick of several individuals in a photo: how many are found, how many of those proposed are there, how well they lie.

    python -m benchmarks.real_several --data FOLDER [--sets glue_tubes ...] [--people FILE] [--mosaics bee_pose ...] [--scenes dog ...]
                                      [--labels 1 5] [--choices 2] [--photos N] [--fit FILE] [--json FILE]

Sets: folders of FOLDER with a `keypoints.json` (COCO) in which photos hold several instances; `--people` a COCO file of people beside
its photos; `--mosaics` one to three photos of a set with one animal each, on one canvas; `--scenes` one to four rendered bodies of
one identity before a blurred background. K photos are labelled with all their instances, and on the others up to 20 are asked
for. A proposal is right if it lies on an instance that no surer proposal lies on: similarity of 0.5 (`kinmark.engine.domain.alike`, named),
or half of the keypoints within 0.1 of the longer side of its box. PCK@0.1 is that of the instances that were found. "one" is what the same
engine takes with one proposal a photo.

`--fit` writes the model of log-odds (`kinmark.engine.matching.several`) instead, from all candidate places of these runs, and says what is
found on every set with a model fitted on the others (keypoints of the looks, not of the final answers).

Where FOLDER is absent the benchmark says so and ends with 0.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Row, finish, parser
from benchmarks.several_sets import Floats, Labelled, SeveralSet, mosaics, read_coco, scenes
from kinmark.engine.api import DEFAULT_BACKBONE, EngineConfig, Exemplar, ImageInput, ProposeRequest, Target
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.matching.confidence import fit_logistic
from kinmark.engine.matching.several import FACTS, LOOKS, Place, Seeker, log_odds
from kinmark.engine.matching.taken import proposed_keypoints
from kinmark.engine.pipelines.registry import choose_settings, propose_keypoints
from kinmark.engine.pipelines.sweep import open_seeker, prepare_proposals
from kinmark.engine.session import EngineSession

LIMIT = 20
THERE, ELSEWHERE = 0.55, 0.25
"""What a place teaches by its similarity to the nearest instance; between them nothing (with two or three keypoints: not there, since
one of two is a place made of parts of two instances)."""


RIDGE, REPEATS = 20.0, 6


@dataclass
class Outcome:
    """One run: counts, PCK of what was found; with `--time`: processor seconds per photo asking for several and for one, and on photos
    with one instance the points of the best proposal that are right (`alone`), asking for several and for one."""

    there: int = 0
    proposed: int = 0
    right: int = 0
    points: list[bool] = field(default_factory=list)
    seconds: float = 0.0
    seconds_one: float = 0.0
    alone: list[bool] = field(default_factory=list)
    alone_one: list[bool] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """In percent."""
        return {
            "recall": 100 * self.right / max(1, self.there),
            "precision": 100 * self.right / max(1, self.proposed),
            "pck@0.1": 100 * float(np.mean(self.points)) if self.points else float("nan"),
            "alone pck@0.1": 100 * float(np.mean(self.alone)) if self.alone else float("nan"),
            "alone pck@0.1, one": 100 * float(np.mean(self.alone_one)) if self.alone_one else float("nan"),
            "seconds": self.seconds,
            "seconds, one": self.seconds_one,
        }


# ---- sets ---------------------------------------------------------------------------------------------------------


# ---- measuring ------------------------------------------------------------------------------------------------------


def choose(several: SeveralSet, labels: int, choice: int, photos: int) -> tuple[list[int], list[int]]:
    """Labelled photos, evenly spread and shifted by a third of the gap from choice to choice, and the judged ones."""
    count = len(several.paths)
    labelled = [int(count * (i + choice / 3) / labels) % count for i in range(labels)]
    rest = [i for i in range(count) if i not in labelled]
    return labelled, rest[:: max(1, len(rest) // photos)][:photos] if photos else rest


def request_of(
    several: SeveralSet, labelled: list[int], judged: list[int], backbone: str, limit: int
) -> ProposeRequest:
    """As the workflow asks: every labelled instance is an exemplar."""
    images = {i: ImageInput(str(i), several.paths[i]) for i in (*labelled, *judged)}
    exemplars = tuple(
        Exemplar(images[i], InstanceKeypoints(one.xy, np.where(np.isfinite(one.xy[:, 0]), 2, 0)))
        for i in labelled
        for one in several.instances[i]
    )
    targets = tuple(Target(images[i], limit=limit) for i in judged)
    return ProposeRequest("several", "thing", several.schema, exemplars, targets, backbone=backbone)


def measure(session: EngineSession, several: SeveralSet, labels: int, choice: int, chosen: Any) -> Outcome:
    """One choice: several asked for, then one on the same photos."""
    labelled, judged = choose(several, labels, choice, chosen.photos)
    outcome = Outcome(there=sum(len(several.instances[i]) for i in judged))
    request = request_of(several, labelled, judged, chosen.backbone, LIMIT)
    request = replace(request, settings=_settings(session, request))
    found: dict[int, list[InstanceProposal]] = {i: [] for i in judged}
    for answer in propose_keypoints(session, request):
        if isinstance(answer, InstanceProposal):
            found[int(answer.image_id)].append(answer)
    if chosen.time:
        one = replace(request, targets=tuple(replace(t, limit=1) for t in request.targets))
        best = {int(a.image_id): a for a in propose_keypoints(session, one) if isinstance(a, InstanceProposal)}
        outcome.seconds, outcome.seconds_one = cold_seconds(request), cold_seconds(one)
        for index in (i for i in judged if len(several.instances[i]) == 1):
            [truth] = several.instances[index]
            outcome.alone += truth.hits(several.schema, found[index][0] if found[index] else None)
            outcome.alone_one += truth.hits(several.schema, best.get(index))
    for index, proposals in found.items():
        ordered = sorted(proposals, key=lambda p: p.index)
        placed = [np.asarray(proposed_keypoints(several.schema, p).xy_image) for p in ordered]
        score(outcome, placed, several.instances[index])
    return outcome


def cold_seconds(request: ProposeRequest) -> float:
    """Processor seconds per photo that was never seen, exemplars read before: every photo but the first of a fresh session."""
    request = replace(request, collection=tuple(request.statistics_images))
    with tempfile.TemporaryDirectory() as folder:
        session = EngineSession(EngineConfig(cache_dir=Path(folder)))
        for _ in propose_keypoints(session, replace(request, targets=request.targets[:1])):
            pass
        rest = replace(request, targets=request.targets[1:])
        start = time.process_time()
        for _ in propose_keypoints(session, rest):
            pass
        seconds = time.process_time() - start
        session.close()
    return seconds / max(1, len(rest.targets))


def score(outcome: Outcome, placed: Sequence[Floats], instances: Sequence[Labelled]) -> None:
    """Count what was proposed in a photo, surest first: every instance can be found once."""
    left = list(instances)
    outcome.proposed += len(placed)
    for xy in placed:
        hit = max((one for one in left if one.matches(xy)), key=lambda one: one.likeness(xy), default=None)
        if hit is not None:
            left.remove(hit)
            outcome.right += 1
            shown = np.isfinite(hit.xy[:, 0])
            outcome.points += list(np.linalg.norm(xy[shown] - hit.xy[shown], axis=1) <= 0.1 * hit.length)


def _settings(session: EngineSession, request: ProposeRequest) -> Any:
    """Chosen once, as a project does."""
    return choose_settings(session, request).settings


# ---- fitting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """The candidate places of one photo (without their maps) and who is there."""

    seeker: Seeker
    target: Target
    places: tuple[Place, ...]
    instances: tuple[Labelled, ...]

    def lesson(self) -> tuple[Floats, NDArray[np.bool_]]:
        """FACTS `[N, F]` of the places that teach something, and whether somebody is there."""
        few = len(self.seeker.schema) <= 3
        likeness = [max((one.likeness(_xy(p)) for one in self.instances), default=0.0) for p in self.places]
        use = [n for n, value in enumerate(likeness) if value >= THERE or value < ELSEWHERE or few]
        facts = np.stack([self.places[n].facts for n in use]) if use else np.zeros((0, len(FACTS)))
        return facts, np.array([likeness[n] >= THERE for n in use], dtype=bool)

    def chosen(self, model: dict[str, Any]) -> list[Floats]:
        """Keypoints `[K, 2]` of what the search takes when a model gives the log-odds."""
        judged = [replace(place, odds=log_odds(place.facts, model)) for place in self.places]
        return [_xy(place) for place in self.seeker.choose(self.target, judged)]


def _xy(place: Place) -> Floats:
    return np.asarray(place.keypoints.xy_image)


def candidates(session: EngineSession, several: SeveralSet, labels: int, choice: int, chosen: Any) -> list[Seen]:
    """The candidate places of one run."""
    labelled, judged = choose(several, labels, choice, chosen.photos)
    request = request_of(several, labelled, judged, chosen.backbone, LIMIT)
    prepared = prepare_proposals(session, request)
    seeker = open_seeker(prepared.matcher, request, prepared.plan, prepared.heads, session.heads, None)
    if seeker is None:
        raise SystemExit("This backbone has no keypoint heads: there is nothing to fit.")
    seen = []
    for target, index in zip(request.targets, judged, strict=True):
        places = seeker.look(target, seeker.candidates(target)[: 2 * LOOKS])
        bare = tuple(replace(place, look=None) for place in places)  # type: ignore[arg-type]
        seen.append(Seen(seeker, target, bare, several.instances[index]))
    return seen


def fit(lessons: dict[str, tuple[Floats, NDArray[np.bool_]]]) -> dict[str, Any]:
    """One logistic model over all sets, small ones counting up to REPEATS times."""
    largest = max(len(there) for _, there in lessons.values())
    repeats = {name: min(REPEATS, max(1, round(largest / max(1, len(there))))) for name, (_, there) in lessons.items()}
    facts = np.concatenate([np.repeat(f, repeats[name], axis=0) for name, (f, _) in lessons.items()])
    there = np.concatenate([np.repeat(t, repeats[name]) for name, (_, t) in lessons.items()])
    return fit_logistic(facts, there, strength=RIDGE)


def count(seen: Sequence[Seen], model: dict[str, Any]) -> Outcome:
    """What the search makes of the candidates under a model."""
    outcome = Outcome(there=sum(len(s.instances) for s in seen))
    for one in seen:
        score(outcome, one.chosen(model), one.instances)
    return outcome


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--sets", nargs="+", default=["glue_tubes"])
    options.add_argument("--people", type=Path, default=None, help="a COCO keypoint file of people beside its photos")
    options.add_argument("--mosaics", nargs="+", default=[])
    options.add_argument("--scenes", nargs="+", default=[], help="categories of rendered bodies")
    options.add_argument("--labels", type=int, nargs="+", default=[1, 5])
    options.add_argument("--choices", type=int, default=2)
    options.add_argument("--photos", type=int, default=0, help="judge so many photos of each run (0 = all)")
    options.add_argument(
        "--time", action="store_true", help="also with one proposal a photo: time, and photos with one instance"
    )
    options.add_argument("--backbone", default=DEFAULT_BACKBONE)
    options.add_argument("--cache", type=Path, default=None, help="keep features there between runs")
    options.add_argument("--fit", type=Path, default=None, metavar="FILE")
    chosen = options.parse_args(argv)
    if not chosen.data.is_dir():
        print(f"There is no folder {chosen.data}: nothing was measured.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        sets = [read_coco(chosen.data / n / "keypoints.json", n, 1) for n in chosen.sets if (chosen.data / n).is_dir()]
        sets += [mosaics(chosen.data / n, out) for n in chosen.mosaics]
        sets += [scenes(n, out) for n in chosen.scenes]
        if chosen.people is not None and chosen.people.is_file():
            sets.append(read_coco(chosen.people, "people", 5))
        session = EngineSession(EngineConfig(cache_dir=chosen.cache or out / "cache"))
        rows = _fitted(session, sets, chosen) if chosen.fit else _measured(session, sets, chosen)
        session.close()
    finish("real_several", rows, chosen.json)
    return 0


def _fitted(session: EngineSession, sets: Sequence[SeveralSet], chosen: Any) -> list[Row]:
    """Write the model of all sets; rows: what a model of the other sets finds on each."""
    runs: dict[str, dict[str, list[Seen]]] = {}
    for several in sets:
        for labels in chosen.labels:
            for choice in range(chosen.choices):
                if labels < len(several.paths):
                    own = candidates(session, several, labels, choice, chosen)
                    runs.setdefault(several.name, {}).setdefault(f"{labels} labelled photos", []).extend(own)
                    print(several.name, labels, choice, sum(len(s.places) for s in own), "places", flush=True)
    lessons = {}
    for name, by_labels in runs.items():
        parts = [seen.lesson() for own in by_labels.values() for seen in own]
        lessons[name] = np.concatenate([f for f, _ in parts]), np.concatenate([t for _, t in parts])
    model = {"facts": FACTS, **fit(lessons)}
    chosen.fit.write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
    rows = []
    for name, by_labels in runs.items():
        others = fit({n: lesson for n, lesson in lessons.items() if n != name}) if len(lessons) > 1 else model
        for labels, own in by_labels.items():
            figures = count(own, others).figures()
            note = f"{sum(len(s.instances) for s in own)} instances, model of the other sets"
            rows += [
                Row(f"{name}, {labels}: {k}", figures[k], "%", None, note) for k in ("recall", "precision", "pck@0.1")
            ]
    return rows


def _measured(session: EngineSession, sets: Sequence[SeveralSet], chosen: Any) -> list[Row]:
    rows = []
    for several in sets:
        for labels in chosen.labels:
            figures = []
            for choice in range(chosen.choices):
                if labels >= len(several.paths):
                    continue
                figures.append(measure(session, several, labels, choice, chosen).figures())
                print(
                    f"{several.name} {labels} #{choice}: " + ", ".join(f"{k} {v:.2f}" for k, v in figures[-1].items()),
                    flush=True,
                )
            for key in figures[0] if figures else ():
                unit = "s per photo" if key.startswith("seconds") else "%"
                value = float(np.nanmean([f[key] for f in figures]))
                rows.append(
                    Row(
                        f"{several.name}, {labels} labelled photos: {key}", value, unit, None, f"{len(figures)} choices"
                    )
                )
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
