"""Category templates: names, skeleton and left/right pairs people expect, and where to draw them in a silhouette.

`layout` places each keypoint in a unit square (x right, y down) for the picture in the category chooser and editor.
"""

from __future__ import annotations

from dataclasses import dataclass

from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.projects.formats.schemas import guess_pairs


@dataclass(frozen=True)
class CategoryTemplate:
    """One template; `category` is the default name of the category."""

    id: str
    title: str
    category: str
    schema: KeypointSchema
    layout: tuple[tuple[float, float], ...]


def _make(
    id_: str, title: str, category: str, points: dict[str, tuple[float, float]], edges: tuple[tuple[str, str], ...]
) -> CategoryTemplate:
    names = tuple(points)
    index = {name: i for i, name in enumerate(names)}
    schema = KeypointSchema(names, tuple((index[a], index[b]) for a, b in edges), guess_pairs(names))
    return CategoryTemplate(id_, title, category, schema, tuple(points.values()))


# Set by hand: a limb is a line, so that places and lines of a body can be compared.
_ANIMAL_17 = {
    "left_eye": (0.15, 0.27), "right_eye": (0.20, 0.25), "nose": (0.10, 0.36), "neck": (0.32, 0.36), "tail_base": (0.84, 0.36),
    "left_shoulder": (0.34, 0.52), "left_elbow": (0.31, 0.66), "left_front_paw": (0.29, 0.86),
    "right_shoulder": (0.41, 0.50), "right_elbow": (0.43, 0.66), "right_front_paw": (0.45, 0.84),
    "left_hip": (0.72, 0.50), "left_knee": (0.68, 0.66), "left_back_paw": (0.70, 0.86),
    "right_hip": (0.80, 0.50), "right_knee": (0.83, 0.66), "right_back_paw": (0.86, 0.84),
}  # fmt: skip
_ANIMAL_17_EDGES = (
    ("left_eye", "right_eye"), ("left_eye", "nose"), ("right_eye", "nose"), ("nose", "neck"), ("neck", "tail_base"),
    ("neck", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_front_paw"),
    ("neck", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_front_paw"),
    ("tail_base", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_back_paw"),
    ("tail_base", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_back_paw"),
)  # fmt: skip
_ANIMAL_20 = {
    "left_eye": (0.15, 0.27), "right_eye": (0.20, 0.25), "left_ear": (0.18, 0.14), "right_ear": (0.27, 0.13),
    "nose": (0.10, 0.36), "throat": (0.25, 0.44), "tail_base": (0.84, 0.36), "withers": (0.38, 0.33),
    "left_front_elbow": (0.34, 0.58), "right_front_elbow": (0.42, 0.57), "left_back_elbow": (0.72, 0.58),
    "right_back_elbow": (0.80, 0.57), "left_front_knee": (0.32, 0.70), "right_front_knee": (0.43, 0.70),
    "left_back_knee": (0.69, 0.70), "right_back_knee": (0.83, 0.70), "left_front_paw": (0.30, 0.87),
    "right_front_paw": (0.45, 0.85), "left_back_paw": (0.70, 0.87), "right_back_paw": (0.86, 0.85),
}  # fmt: skip
_ANIMAL_20_EDGES = (
    ("left_eye", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"), ("left_eye", "nose"), ("right_eye", "nose"),
    ("nose", "throat"), ("throat", "withers"), ("withers", "tail_base"), ("throat", "left_front_elbow"),
    ("left_front_elbow", "left_front_knee"), ("left_front_knee", "left_front_paw"), ("throat", "right_front_elbow"),
    ("right_front_elbow", "right_front_knee"), ("right_front_knee", "right_front_paw"), ("tail_base", "left_back_elbow"),
    ("left_back_elbow", "left_back_knee"), ("left_back_knee", "left_back_paw"), ("tail_base", "right_back_elbow"),
    ("right_back_elbow", "right_back_knee"), ("right_back_knee", "right_back_paw"),
)  # fmt: skip
_PERSON = {
    "nose": (0.50, 0.13), "left_eye": (0.54, 0.10), "right_eye": (0.46, 0.10), "left_ear": (0.58, 0.12), "right_ear": (0.42, 0.12),
    "left_shoulder": (0.64, 0.26), "right_shoulder": (0.36, 0.26), "left_elbow": (0.72, 0.41), "right_elbow": (0.28, 0.41),
    "left_wrist": (0.76, 0.55), "right_wrist": (0.24, 0.55), "left_hip": (0.58, 0.54), "right_hip": (0.42, 0.54),
    "left_knee": (0.60, 0.74), "right_knee": (0.40, 0.74), "left_ankle": (0.61, 0.94), "right_ankle": (0.39, 0.94),
}  # fmt: skip
_PERSON_EDGES = (
    ("left_ankle", "left_knee"), ("left_knee", "left_hip"), ("right_ankle", "right_knee"), ("right_knee", "right_hip"),
    ("left_hip", "right_hip"), ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"), ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow"), ("left_elbow", "left_wrist"),
    ("right_elbow", "right_wrist"), ("left_eye", "right_eye"), ("nose", "left_eye"), ("nose", "right_eye"),
    ("left_eye", "left_ear"), ("right_eye", "right_ear"), ("left_ear", "left_shoulder"), ("right_ear", "right_shoulder"),
)  # fmt: skip
_FACE = {
    "left_eye_outer": (0.74, 0.38), "left_eye_inner": (0.60, 0.39), "right_eye_inner": (0.40, 0.39),
    "right_eye_outer": (0.26, 0.38), "left_brow": (0.68, 0.28), "right_brow": (0.32, 0.28), "nose_tip": (0.50, 0.58),
    "left_nostril": (0.56, 0.61), "right_nostril": (0.44, 0.61), "left_mouth": (0.63, 0.75), "right_mouth": (0.37, 0.75),
    "upper_lip": (0.50, 0.72), "lower_lip": (0.50, 0.79), "chin": (0.50, 0.93), "left_ear": (0.88, 0.48), "right_ear": (0.12, 0.48),
}  # fmt: skip
_FACE_EDGES = (
    ("left_eye_outer", "left_eye_inner"), ("right_eye_outer", "right_eye_inner"), ("left_nostril", "nose_tip"),
    ("right_nostril", "nose_tip"), ("left_mouth", "upper_lip"), ("right_mouth", "upper_lip"), ("left_mouth", "lower_lip"),
    ("right_mouth", "lower_lip"), ("lower_lip", "chin"),
)  # fmt: skip
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")


def _hand() -> CategoryTemplate:
    roots = ((0.34, 0.78), (0.40, 0.52), (0.52, 0.49), (0.63, 0.53), (0.73, 0.60))
    tips = ((0.10, 0.52), (0.32, 0.10), (0.52, 0.05), (0.71, 0.12), (0.92, 0.28))
    points: dict[str, tuple[float, float]] = {"wrist": (0.52, 0.93)}
    edges: list[tuple[str, str]] = []
    for finger, root, tip in zip(_FINGERS, roots, tips, strict=True):
        before = "wrist"
        for joint in range(1, 5):
            t = (joint - 1) / 3
            name = f"{finger}_{joint}"
            points[name] = (root[0] + (tip[0] - root[0]) * t, root[1] + (tip[1] - root[1]) * t)
            edges.append((before, name))
            before = name
    return _make("hand", "Hand (21)", "hand", points, tuple(edges))


_VEHICLE = {
    "left_front_wheel": (0.20, 0.76), "left_back_wheel": (0.62, 0.80), "right_front_wheel": (0.36, 0.66),
    "right_back_wheel": (0.80, 0.68), "left_front_roof": (0.34, 0.34), "left_back_roof": (0.66, 0.36),
    "right_front_roof": (0.48, 0.28), "right_back_roof": (0.78, 0.30), "left_headlight": (0.12, 0.58),
    "right_headlight": (0.26, 0.52), "left_taillight": (0.82, 0.58), "right_taillight": (0.92, 0.50),
    "left_mirror": (0.30, 0.47), "right_mirror": (0.44, 0.40),
}  # fmt: skip
_VEHICLE_EDGES = (
    ("left_front_wheel", "left_back_wheel"), ("right_front_wheel", "right_back_wheel"), ("left_front_roof", "left_back_roof"),
    ("right_front_roof", "right_back_roof"), ("left_front_roof", "right_front_roof"), ("left_back_roof", "right_back_roof"),
    ("left_headlight", "right_headlight"), ("left_taillight", "right_taillight"), ("left_headlight", "left_front_roof"),
    ("right_headlight", "right_front_roof"), ("left_taillight", "left_back_roof"), ("right_taillight", "right_back_roof"),
    ("left_headlight", "left_front_wheel"), ("left_taillight", "left_back_wheel"),
)  # fmt: skip

TEMPLATES: tuple[CategoryTemplate, ...] = (
    _make("animal17", "Animal (17)", "animal", _ANIMAL_17, _ANIMAL_17_EDGES),
    _make("animal20", "Animal (20)", "animal", _ANIMAL_20, _ANIMAL_20_EDGES),
    _make("person", "Person (17)", "person", _PERSON, _PERSON_EDGES),
    _make("face", "Face (16)", "face", _FACE, _FACE_EDGES),
    _hand(),
    _make("vehicle", "Vehicle (14)", "vehicle", _VEHICLE, _VEHICLE_EDGES),
    _make("custom", "Your own", "thing", {}, ()),
)
