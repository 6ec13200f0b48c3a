"""`propose` without options on drawn film-like sets, against dense RootSIFT nearest neighbour on the same frames.

    kinmark benchmark films [--frames 25] [--exemplars 1 5] [--json FILE]

The sets (benchmarks/sequences.py) are caricatures: they show whether the automatic settings break, not an accuracy on animals.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence as Arguments
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.common import Row, finish, parser
from benchmarks.sequences import Sequence, arena, reach, side_views
from kinmark.engine.api import Engine, open_engine
from kinmark.engine.domain.geometry import box_of_points, longer_side
from kinmark.engine.features.local_descriptor import dense_descriptor
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.propose import propose

SETS = {"arena from above": arena, "reaching hand": reach, "side views": side_views}
SIFT_PX, SIFT_CELLS = 384, 96


def _side(frame_points: np.ndarray) -> float:
    """Longer side of the extent of the keypoints grown by a tenth, as long as no box is known."""
    return 1.2 * longer_side(box_of_points(frame_points))


def _ours(film: Sequence, exemplars: int, engine: Engine, folder: Path) -> tuple[float, float, str]:
    """(PCK@0.1 per point, seconds per photo, what was chosen) through the real project and workflow."""
    paths = film.write(folder / "frames")
    with Project.create(folder / "film.kinmark") as project:
        add_paths(project, paths)
        category_id = project.operations.add_category("animal", film.schema).ids[0]
        category = project.queries.require_category("animal")
        rows = {row.path.name: row for row in project.queries.iter_images()}
        for index in range(exemplars):
            frame = film.frames[index]
            keypoints = [
                NewKeypoint(d, float(x), float(y), int(v))
                for d, (x, y), v in zip(category.definition_ids, frame.xy_image, frame.visibility, strict=True)
                if v > 0
            ]
            project.operations.add_instance(rows[paths[index].name].id, category_id, keypoints)
        start = time.perf_counter()
        [outcome] = propose(project, engine)
        seconds = (time.perf_counter() - start) / max(1, outcome.targets)
        hits = []
        order = {d: i for i, d in enumerate(category.definition_ids)}
        for index in range(exemplars, len(film.frames)):
            frame = film.frames[index]
            found = {
                order[k.definition_id]: (k.x, k.y)
                for p in project.queries.proposals(image_id=rows[paths[index].name].id)
                for k in p.keypoints
            }
            for i in np.flatnonzero(frame.visibility == 2):
                x, y = found.get(int(i), (None, None))
                miss = (
                    float("inf") if x is None or y is None else float(np.hypot(*(np.array([x, y]) - frame.xy_image[i])))
                )
                hits.append(miss <= 0.1 * _side(frame.xy_image[frame.visibility > 0]))
    return float(np.mean(hits)), seconds, outcome.reason


def _sift(film: Sequence, exemplars: int) -> float:
    """Nearest neighbour of each exemplar's point in dense RootSIFT; the most similar exemplar's answer is taken."""
    maps, sizes = [], []
    for frame in film.frames:
        rgb = frame.image if frame.image.ndim == 3 else np.repeat(frame.image[..., None], 3, axis=2)
        sizes.append((rgb.shape[1], rgb.shape[0]))
        small = cv2.resize(rgb, (SIFT_PX, SIFT_PX), interpolation=cv2.INTER_AREA)
        maps.append(dense_descriptor(small[None], cells_wh=(SIFT_CELLS, SIFT_CELLS))[0])
    hits = []
    for index in range(exemplars, len(film.frames)):
        frame, size = film.frames[index], np.array(sizes[index], dtype=float)
        flat = maps[index].flatten(1)
        for i in np.flatnonzero(frame.visibility == 2):
            best = (-1.0, np.zeros(2))
            for source in range(exemplars):
                if film.frames[source].visibility[i] == 0:
                    continue
                cell = (
                    (film.frames[source].xy_image[i] / np.array(sizes[source]) * (SIFT_CELLS - 1))
                    .round()
                    .astype(int)
                    .clip(0, SIFT_CELLS - 1)
                )
                scores = maps[source][:, cell[1], cell[0]] @ flat
                score, place = torch.max(scores, dim=0)
                if float(score) > best[0]:
                    xy = np.array([int(place) % SIFT_CELLS, int(place) // SIFT_CELLS]) / (SIFT_CELLS - 1) * size
                    best = (float(score), xy)
            hits.append(
                float(np.hypot(*(best[1] - frame.xy_image[i]))) <= 0.1 * _side(frame.xy_image[frame.visibility > 0])
            )
    return float(np.mean(hits))


def main(argv: Arguments[str] | None = None) -> int:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--frames", type=int, default=25)
    options.add_argument("--exemplars", type=int, nargs="+", default=[1, 5])
    chosen = options.parse_args(argv)
    rows: list[Row] = []
    for name, make in SETS.items():
        film = make(count=chosen.frames, seed=7)
        for exemplars in chosen.exemplars:
            sift = 100 * _sift(film, exemplars)
            with tempfile.TemporaryDirectory() as folder:
                engine = open_engine()
                pck, seconds, reason = _ours(film, exemplars, engine, Path(folder))
                engine.close()
            rows.append(Row(f"{name}, {exemplars} labelled: dense RootSIFT", sift, "% PCK@0.1"))
            rows.append(
                Row(
                    f"{name}, {exemplars} labelled: propose",
                    100 * pck,
                    "% PCK@0.1",
                    100 * pck / max(sift, 1e-6),
                    reason,
                )
            )
            rows.append(Row(f"{name}, {exemplars} labelled: time", seconds, "s per photo"))
            print(f"{name} {exemplars}: {sift:.1f} -> {100 * pck:.1f}  {seconds:.2f} s  {reason}", flush=True)
    finish("films", rows, chosen.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
