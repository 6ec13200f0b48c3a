"""The yardstick of proposals: real labelled collections, several numbers of labels, several choices of exemplars.

    python -m benchmarks.real_sets --data FOLDER [--sets mirror_mouse ...] [--labels 1 3 5 10 20] [--choices 3] [--json FILE]

Every folder of FOLDER with a `keypoints.json` (COCO) is a set. For every number of labels K and every choice, K photos are
labelled in a fresh project and keypoints are proposed through the same workflow as in the window; the judged photos of a
choice are the same for all K (see `choose`). PCK@alpha per point, of the longer side of the instance's box; "other recordings":
the same on photos of a recording, video, sequence or subject that no exemplar was taken from. Beside it: the best cell over the
exemplars' vectors of dense RootSIFT and of EfficientNet-Lite2 on the whole photo, and Kinmark without heads (`--without`).

Where FOLDER is absent the benchmark says so and ends with 0.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import Row, finish, parser
from kinmark.engine.api import (
    DEFAULT_BACKBONE,
    Engine,
    EngineConfig,
    Exemplar,
    ImageInput,
    MatchSettings,
    ProposeRequest,
    Target,
    open_engine,
)
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal
from kinmark.engine.features.efficientnet import input_side, load_network, to_pixels
from kinmark.engine.features.local_descriptor import dense_descriptor
from kinmark.engine.matching.confidence import auroc, expected_calibration_error
from kinmark.engine.matching.sampling import sample_features
from kinmark.engine.pipelines.registry import propose_keypoints
from kinmark.engine.session import EngineSession
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.propose import propose
from kinmark.projects.workflows.propose_options import ProposeOptions

Floats = NDArray[np.float64]
POOL = 20
GROUP_KEYS = ("recording", "video", "sequence", "subject")
SIDES = (("left", "right"), ("Left", "Right"), ("LH", "RH"), ("LF", "RF"))


@dataclass(frozen=True)
class RealSet:
    """Photos with one labelled instance each: `xy` `[N, K, 2]`, `visible` `[N, K]` bool, `length` `[N]` longer sides."""

    name: str
    schema: KeypointSchema
    paths: tuple[Path, ...]
    xy: Floats
    visible: NDArray[np.bool_]
    length: Floats
    groups: tuple[str, ...]


@dataclass
class Outcome:
    """One run: per judged keypoint the `error` in longer sides (inf: proposed absent or not at all), confidence and truth."""

    error: list[float] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)
    there: list[bool] = field(default_factory=list)
    present: list[float] = field(default_factory=list)
    seconds: float = 0.0
    choosing: float = 0.0
    targets: int = 0
    reason: str = ""
    fresh: list[bool] = field(default_factory=list)


def load_set(folder: Path) -> RealSet | None:
    """A set of the folder's COCO file; None where photos hold several instances (another benchmark's matter)."""
    data = json.loads((folder / "keypoints.json").read_text(encoding="utf-8"))
    category = data["categories"][0]
    images = {image["id"]: image for image in data["images"]}
    own = [a for a in data["annotations"] if a.get("num_keypoints", 1)]
    if len({a["image_id"] for a in own}) < len(own):
        return None
    names = tuple(category["keypoints"])
    points = np.array([a["keypoints"] for a in own], dtype=np.float64).reshape(len(own), -1, 3)
    chosen = [images[a["image_id"]] for a in own]
    groups = tuple(next((str(i[k]) for k in GROUP_KEYS if k in i), str(i["id"])) for i in chosen)
    return RealSet(
        folder.name,
        KeypointSchema(names, (), twins(names)),
        tuple(folder / i["file_name"] for i in chosen),
        points[..., :2],
        points[..., 2] > 0,
        np.array([max(a["bbox"][2:]) for a in own], dtype=np.float64),
        groups,
    )


def twins(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Left/right pairs by name, as the schema editor suggests them."""
    pairs = []
    for index, name in enumerate(names):
        for left, right in SIDES:
            other = name.replace(left, right)
            if other != name and other in names:
                pairs.append((index, names.index(other)))
                break
    return tuple(pairs)


def choose(real: RealSet, labels: int, choice: int) -> tuple[list[int], list[int]]:
    """Exemplars and judged photos.

    Every choice sets POOL evenly spread photos aside for labels; the labelled ones are evenly spread over that pool (both shifted by a
    third of the gap from choice to choice), and the photos outside it are judged whatever K is, so that figures of several K can be
    compared.
    """
    count = len(real.paths)
    aside = min(POOL, count // 2)
    pool = sorted({int(count * (i + choice / 3) / aside) % count for i in range(aside)})
    exemplars = [pool[int(len(pool) * (i + choice / 3) / labels)] for i in range(labels)]
    return exemplars, [i for i in range(count) if i not in pool]


def proposed(
    session: EngineSession, backbone: str, real: RealSet, exemplars: list[int], judged: list[int]
) -> Iterator[tuple[int, int, KeypointProposal]]:
    """(photo, keypoint, proposal) of the engine alone, without a project: signals and all."""
    images = {i: ImageInput(str(i), real.paths[i]) for i in (*exemplars, *judged)}
    taught = tuple(
        Exemplar(
            images[i], InstanceKeypoints(np.where(real.visible[i][:, None], real.xy[i], np.nan), 2 * real.visible[i])
        )
        for i in exemplars
    )
    request = ProposeRequest(
        "real", "thing", real.schema, taught, tuple(Target(images[i]) for i in judged), backbone=backbone
    )
    order = {name: k for k, name in enumerate(real.schema.names)}
    for answer in propose_keypoints(session, request):
        if isinstance(answer, InstanceProposal):
            for keypoint in answer.keypoints:
                yield int(answer.image_id), order[keypoint.name], keypoint


def ours(real: RealSet, exemplars: list[int], judged: list[int], engine: Engine, options: ProposeOptions) -> Outcome:
    """Through a project and the workflow, as a person gets it."""
    outcome = Outcome(targets=len(judged))
    used = {real.groups[i] for i in exemplars}
    with tempfile.TemporaryDirectory() as folder, Project.create(Path(folder) / "set.kinmark") as project:
        wanted = sorted({*exemplars, *judged})
        add_paths(project, [real.paths[i] for i in wanted])
        category_id = project.operations.add_category("thing", real.schema).ids[0]
        category = project.queries.require_category("thing")
        rows = {row.path.name: row for row in project.queries.iter_images()}
        for index in exemplars:
            keypoints = [
                NewKeypoint(d, float(x), float(y), 2 if v else 0)
                for d, (x, y), v in zip(category.definition_ids, real.xy[index], real.visible[index], strict=True)
            ]
            project.operations.add_instance(rows[real.paths[index].name].id, category_id, keypoints)
        start = time.perf_counter()
        [done] = propose(project, engine, options)
        outcome.seconds = (time.perf_counter() - start) / max(1, len(judged))
        outcome.reason = done.reason
        order = {d: i for i, d in enumerate(category.definition_ids)}
        for index in judged:
            found = {
                order[k.definition_id]: k
                for p in project.queries.proposals(image_id=rows[real.paths[index].name].id)
                for k in p.keypoints
            }
            for k in range(len(real.schema)):
                outcome.fresh.append(real.groups[index] not in used)
                _judge(outcome, found.get(k), real.xy[index, k], bool(real.visible[index, k]), real.length[index])
    return outcome


def _judge(outcome: Outcome, found: Any, truth: Floats, there: bool, length: float) -> None:
    placed = found is not None and found.visibility > 0 and found.x is not None
    error = float("inf")
    if placed and there:
        error = float(np.hypot(found.x - truth[0], found.y - truth[1])) / length
    outcome.error.append(error)
    outcome.confidence.append(float(found.confidence) if placed else 0.0)
    outcome.there.append(there)
    present = (
        None
        if found is None
        else found.signals.get("present")
        if isinstance(found.signals, dict)
        else found.signals.present
    )
    outcome.present.append(0.0 if present is None else float(present))


def summary(outcome: Outcome) -> dict[str, float]:
    """The figures of one run, in percent where they are shares."""
    error, there = np.array(outcome.error), np.array(outcome.there)
    sure = np.array(outcome.confidence)
    right = there & (error <= 0.1)
    placed = sure > 0
    result = {f"pck@{a}": 100 * float((error[there] <= a).mean()) for a in (0.05, 0.1)}
    fresh = there & np.array(outcome.fresh)
    result["pck@0.1, other recordings"] = 100 * float((error[fresh] <= 0.1).mean()) if fresh.any() else float("nan")
    result["ece"] = expected_calibration_error(sure[placed], right[placed]) if placed.any() else float("nan")
    for limit in (0.8, 0.9):
        use = sure >= limit
        result[f"passes {limit}"] = 100 * float(use.mean())
        result[f"right of {limit}"] = 100 * float(right[use].mean()) if use.any() else float("nan")
    result["absent auroc"] = auroc(-np.array(outcome.present), ~there) if (~there).sum() >= 5 else float("nan")
    result["seconds"] = outcome.seconds
    return result


class NearestCells:
    """The plain baselines: the best cell over the exemplars' vectors of one dense descriptor of the whole photo."""

    def __init__(self, real: RealSet, descriptor: str, side: int) -> None:
        self.real, self.maps, self.to_cells = real, [], []
        network = load_network("lite2")[0] if descriptor == "effnet" else None
        for path in real.paths:
            image = cv2.imread(str(path))[..., ::-1]
            factor = side / float(np.sqrt(image.shape[0] * image.shape[1]))
            wh = input_side(image.shape[1] * factor), input_side(image.shape[0] * factor)
            small = np.ascontiguousarray(cv2.resize(image, wh, interpolation=cv2.INTER_AREA))[None]
            cells = (wh[0] - 1) // 4 + 1, (wh[1] - 1) // 4 + 1
            if network is None:
                found = dense_descriptor(small, cells_wh=cells)
            else:
                with torch.no_grad():
                    taps = network(to_pixels(small), (6, 10, 14, 18))
                found = torch.cat([_on(torch.nn.functional.normalize(t, dim=1), cells) for t in taps], dim=1) / 2
            self.maps.append(found[0].half())
            scale = np.array([(wh[0] - 1) / (image.shape[1] - 1), (wh[1] - 1) / (image.shape[0] - 1)]) / 4
            self.to_cells.append(scale)

    def pck(self, exemplars: list[int], judged: list[int]) -> float:
        """PCK@0.1 in percent."""
        queries = [
            sample_features(
                self.maps[i][None].float(), torch.from_numpy((self.real.xy[i] - 0.5) * self.to_cells[i])[None].float()
            )[0]
            for i in exemplars
        ]
        known = torch.from_numpy(self.real.visible[exemplars])
        hits = []
        for index in judged:
            cells = self.maps[index].float()
            scores = torch.einsum(
                "ekc,cn->ekn", torch.nn.functional.normalize(torch.stack(queries), dim=-1), cells.flatten(1)
            )
            best = torch.where(known[..., None], scores, torch.full_like(scores, -9)).amax(0).argmax(-1)
            xy = torch.stack([best % cells.shape[-1], best // cells.shape[-1]], dim=-1).double().numpy()
            error = (
                np.linalg.norm(xy / self.to_cells[index] + 0.5 - self.real.xy[index], axis=1) / self.real.length[index]
            )
            hits += list(error[self.real.visible[index]] <= 0.1)
        return 100 * float(np.mean(hits))


def _on(maps: torch.Tensor, cells_wh: tuple[int, int]) -> torch.Tensor:
    size = (cells_wh[1], cells_wh[0])
    return torch.nn.functional.interpolate(maps, size=size, mode="bilinear", align_corners=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--sets", nargs="+", default=[])
    options.add_argument("--labels", type=int, nargs="+", default=[1, 3, 5, 10, 20])
    options.add_argument("--choices", type=int, default=3)
    options.add_argument("--backbone", default=DEFAULT_BACKBONE)
    options.add_argument("--cache", type=Path, default=None, help="keep features there between runs")
    options.add_argument("--without", action="store_true", help="Kinmark without heads, too")
    options.add_argument("--baselines", action=argparse.BooleanOptionalAction, default=True)
    chosen = options.parse_args(argv)
    if not chosen.data.is_dir():
        print(f"There is no folder {chosen.data}: nothing was measured.")
        return 0
    folders = sorted(p.parent for p in chosen.data.glob("*/keypoints.json"))
    sets = [s for f in folders if not chosen.sets or f.name in chosen.sets if (s := load_set(f)) is not None]
    rows: list[Row] = []
    for real in sets:
        baselines = {}
        if chosen.baselines:
            baselines = {"RootSIFT": NearestCells(real, "sift", 193), "EfficientNet": NearestCells(real, "effnet", 257)}
        for labels in chosen.labels:
            if labels >= len(real.paths):
                continue
            rows += _measure(real, labels, chosen, baselines)
    finish("real_sets", rows, chosen.json)
    return 0


def _measure(real: RealSet, labels: int, chosen: Any, baselines: dict[str, NearestCells]) -> list[Row]:
    figures: list[dict[str, float]] = []
    for choice in range(chosen.choices):
        exemplars, judged = choose(real, labels, choice)
        with tempfile.TemporaryDirectory() as folder:
            engine = open_engine(EngineConfig(cache_dir=chosen.cache or Path(folder)))
            outcome = ours(real, exemplars, judged, engine, ProposeOptions(backbone=chosen.backbone))
            found = summary(outcome)
            if chosen.without:
                plain = ProposeOptions(backbone=chosen.backbone, settings=MatchSettings(heads=False))
                found["pck@0.1 without heads"] = summary(ours(real, exemplars, judged, engine, plain))["pck@0.1"]
            engine.close()
        found |= {name: nearest.pck(exemplars, judged) for name, nearest in baselines.items()}
        figures.append(found)
        print(f"{real.name} {labels} #{choice}: " + ", ".join(f"{k} {v:.2f}" for k, v in found.items()), flush=True)
        print(f"    {outcome.reason}", flush=True)
    units = {"seconds": "s per photo", "ece": "", "absent auroc": ""}
    return [
        Row(
            f"{real.name}, {labels} labelled: {key}",
            float(np.nanmean([f[key] for f in figures])),
            units.get(key, "%"),
            note=" ".join(f"{f[key]:.1f}" for f in figures),
        )
        for key in figures[0]
        if not np.isnan([f[key] for f in figures]).all()
    ]


if __name__ == "__main__":
    raise SystemExit(main())
