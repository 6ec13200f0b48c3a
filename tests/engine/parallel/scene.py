"""A small collection with a thing to find, for engines of every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kinmark.engine.api import EngineConfig, Exemplar, ImageInput, MatchSettings, ProposeRequest, Target
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.matching.plan.plan import Plan

SCHEMA = KeypointSchema(("nose", "tail", "left", "right"), (), ((2, 3),))
SHAPE = np.array([[22.0, 0], [-22, 0], [0, -9], [0, 9]])
DECIDED: MatchSettings = replace(Plan().to_settings(), rotations=4)


def draw(path: Path, seed: int) -> np.ndarray:
    """An arrow-like animal on a floor of its own; returns its keypoints."""
    generator = np.random.default_rng(seed)
    image = cv2.GaussianBlur(generator.normal(150, 60, (144, 192)), (0, 0), 2).astype(np.float32)
    angle, centre = generator.uniform(0, 6.28), generator.uniform([36, 36], [156, 108])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    body = np.array([[24, 0], [8, 8], [-20, 3], [-20, -3], [8, -8]]) @ turn.T + centre
    cv2.fillPoly(image, [body.round().astype(np.int32)], 30.0, cv2.LINE_AA)
    points = SHAPE @ turn.T + centre
    cv2.circle(image, tuple(points[0].round().astype(int)), 3, 230.0, -1, cv2.LINE_AA)
    cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))
    return points + 0.5


def make_request(folder: Path, backbone: str, targets: int, settings: MatchSettings = DECIDED) -> ProposeRequest:
    """Two exemplars and so many targets, one of them damaged when there are three or more."""
    folder.mkdir(exist_ok=True)
    exemplars, places = [], []
    for index in range(targets + 2):
        path = folder / f"{index}.png"
        points = draw(path, index)
        image = ImageInput(str(index), path)
        if index < 2:
            exemplars.append(Exemplar(image, InstanceKeypoints(points, np.full(4, 2))))
        else:
            places.append(Target(image))
    if targets >= 3:
        (folder / "4.png").write_bytes((folder / "4.png").read_bytes()[:200])
    return ProposeRequest("r", "arrow", SCHEMA, tuple(exemplars), tuple(places), settings, backbone, "empty")


def config(folder: Path) -> EngineConfig:
    """One thread, a cache of its own."""
    return EngineConfig(device="cpu", dtype="fp32", cache_dir=folder, cache_bytes=64 << 20, threads=1)


def comparable(answers: list[Any]) -> list[str]:
    """Answers without the clock, every digit of them (nan is not equal to itself): what must be equal bit by bit."""
    return [
        repr(replace(a, seconds=0.0) if hasattr(a, "seconds") else (a.image_id, type(a.error), str(a.error)))
        for a in answers
    ]
