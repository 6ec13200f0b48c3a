"""Random and hand-made data sets for the format tests, with pictures on disk where a format needs them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, DatasetKeypoint

HORSE = KeypointSchema(
    ("nose", "left_eye", "right_eye", "withers", "tail"), edges=((0, 1), (0, 2), (3, 4)), pairs=((1, 2),)
)


def blob(width: int, height: int, seed: int, *, hole: bool = False) -> MaskRLE:
    """An ellipse-like mask, optionally with a hole."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    cx, cy = rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height
    mask = ((x - cx) / (0.25 * width)) ** 2 + ((y - cy) / (0.3 * height)) ** 2 < 1
    if hole:
        mask &= ~(((x - cx) / (0.1 * width)) ** 2 + ((y - cy) / (0.1 * height)) ** 2 < 1)
    return MaskRLE.encode(mask)


def write_picture(path: Path, width: int, height: int, seed: int, orientation: int = 1) -> None:
    """Noise of the *oriented* size width x height; the stored picture is turned back by `orientation`."""
    rng = np.random.default_rng(seed)
    stored = (height, width) if orientation >= 5 else (width, height)
    picture = Image.fromarray(rng.integers(0, 255, (stored[1], stored[0], 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)


def sample_dataset(folder: Path, *, count: int = 8, size_wh: tuple[int, int] = (60, 40), masks: bool = True) -> Dataset:
    """`count` pictures in two folders (same names in both), one horse each, a few hidden and absent keypoints."""
    images = []
    for number in range(count):
        rng = np.random.default_rng(number)
        width, height = size_wh
        relative = PurePosixPath(f"{'ab'[number % 2]}/photo {number // 2} é.png")
        write_picture(folder / relative, width, height, number)
        keypoints = {}
        for k, name in enumerate(HORSE.names):
            state = Visibility.VISIBLE if (number + k) % 5 else Visibility((number + k) // 5 % 2)
            x, y = (float(v) for v in rng.uniform((1, 1), (width - 1, height - 1)))
            keypoints[name] = DatasetKeypoint(state, x, y) if state else DatasetKeypoint(state)
        mask = blob(width, height, number, hole=number % 3 == 0) if masks and number % 4 != 3 else None
        instance = DatasetInstance("horse", keypoints, (5.25, 4.5, 50.0, 35.75), mask, identity=f"id{number % 3}")
        images.append(DatasetImage(relative, width, height, (instance,), str(folder / relative)))
    return Dataset((DatasetCategory("horse", HORSE, "animal"),), tuple(images), "sample")


_NAMES = st.text(alphabet="abcXYZ_é0", min_size=1, max_size=6)


@st.composite
def schemas(draw: st.DrawFn, max_size: int = 6) -> KeypointSchema:
    """A keypoint schema with some edges and pairs (possibly without keypoints)."""
    names = draw(st.lists(_NAMES, unique=True, max_size=max_size))
    indices = list(range(len(names)))
    edges = draw(
        st.lists(
            st.tuples(st.sampled_from(indices), st.sampled_from(indices)).filter(lambda e: e[0] != e[1]),
            unique=True,
            max_size=4,
        )
        if len(names) > 1
        else st.just([])
    )
    shuffled = draw(st.permutations(indices))
    pairs = [(shuffled[i], shuffled[i + 1]) for i in range(0, len(names) - 1, 2)][: draw(st.integers(0, 2))]
    return KeypointSchema(tuple(names), tuple(edges), tuple(pairs))


@st.composite
def instances(draw: st.DrawFn, category: DatasetCategory, width: int, height: int) -> DatasetInstance:
    """An instance with any mix of keypoints, box, mask, identity, proposal marks."""
    keypoints: dict[str, DatasetKeypoint] = {}
    if len(category.schema) and draw(st.booleans()):
        for name in category.schema.names:
            state = Visibility(draw(st.integers(0, 2)))
            place = st.floats(-5, 70, allow_nan=False)
            keypoints[name] = DatasetKeypoint(state, draw(place), draw(place)) if state else DatasetKeypoint(state)
        if not any(k.visibility for k in keypoints.values()):
            keypoints = {}
    x0, y0 = draw(st.floats(0, 20)), draw(st.floats(0, 20))
    box = (x0, y0, x0 + draw(st.floats(1, 30)), y0 + draw(st.floats(1, 30))) if draw(st.booleans()) else None
    mask = None
    if draw(st.booleans()):
        bits = draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height))
        mask = MaskRLE.encode(np.asarray(bits, dtype=bool).reshape(height, width))
    proposal = draw(st.booleans())
    return DatasetInstance(
        category.name,
        keypoints,
        box,
        mask,
        draw(st.sampled_from(["", "Anna", "Jürgen"])),
        draw(st.booleans()),
        proposal,
        draw(st.floats(0, 1)) if proposal else None,
        None,
        "proposal" if proposal else "imported",
    )


@st.composite
def datasets(draw: st.DrawFn, max_images: int = 3) -> Dataset:
    """Small random data sets: sizes of a few pixels, unique names and paths."""
    names = draw(st.lists(_NAMES, unique=True, min_size=1, max_size=3))
    categories = tuple(DatasetCategory(name, draw(schemas())) for name in names)
    images = []
    for path in draw(st.lists(st.tuples(_NAMES, _NAMES), unique=True, max_size=max_images)):
        width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        content = tuple(
            draw(instances(draw(st.sampled_from(categories)), width, height)) for _ in range(draw(st.integers(0, 2)))
        )
        images.append(DatasetImage(PurePosixPath(path[0], f"{path[1]}.png"), width, height, content))
    return Dataset(categories, tuple(images), "random")
