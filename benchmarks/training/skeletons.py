"""Lines between the named keypoints of the categories of the sample collection."""

from __future__ import annotations

_QUADRUPED_EDGES = (
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
    ("nose", "neck"),
    ("neck", "back"),
    ("back", "tail_base"),
    ("tail_base", "tail_tip"),
    ("neck", "left_front_knee"),
    ("left_front_knee", "left_front_paw"),
    ("neck", "right_front_knee"),
    ("right_front_knee", "right_front_paw"),
    ("tail_base", "left_back_knee"),
    ("left_back_knee", "left_back_paw"),
    ("tail_base", "right_back_knee"),
    ("right_back_knee", "right_back_paw"),
)


SKELETONS: dict[str, tuple[tuple[str, str], ...]] = {
    "dog": _QUADRUPED_EDGES,
    "horse": _QUADRUPED_EDGES,
    "cat": _QUADRUPED_EDGES,
    "bird": (
        ("beak", "crown"),
        ("crown", "nape"),
        ("nape", "back"),
        ("back", "tail_tip"),
        ("beak", "breast"),
        ("beak", "left_eye"),
        ("beak", "right_eye"),
        ("back", "left_shoulder"),
        ("left_shoulder", "left_wing_tip"),
        ("back", "right_shoulder"),
        ("right_shoulder", "right_wing_tip"),
        ("breast", "left_foot"),
        ("breast", "right_foot"),
    ),
    "car": (
        ("left_front_wheel", "left_back_wheel"),
        ("right_front_wheel", "right_back_wheel"),
        ("left_front_roof", "left_back_roof"),
        ("right_front_roof", "right_back_roof"),
        ("left_front_roof", "right_front_roof"),
        ("left_back_roof", "right_back_roof"),
        ("left_headlight", "grille"),
        ("grille", "right_headlight"),
        ("left_taillight", "right_taillight"),
        ("left_headlight", "left_front_roof"),
        ("right_headlight", "right_front_roof"),
        ("left_taillight", "left_back_roof"),
        ("right_taillight", "right_back_roof"),
        ("left_mirror", "left_front_roof"),
        ("right_mirror", "right_front_roof"),
    ),
}
"""Skeleton edges of the categories of the sample collection, by keypoint names."""
