"""What an export changes whatever the format is: said before anything is written, beside the format's own losses.

Names and pictures that are written anew, fields of an imported file that have no place, outlines that become pixels, and
photos that are labelled only partly.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.base import lost
from kinmark.projects.formats.dataset import Dataset, DatasetImage, ReportItem
from kinmark.projects.formats.outlines import outline_of
from kinmark.projects.formats.stems import flat_stems

_OWN_FIELDS = frozenset({"bbox", "area", "segmentation", "iscrowd", "num_keypoints", "keypoints", "id"})
NAMED = 5
"""Photos that a line names."""
WORDS = frozenset(
    {
        "boxes",
        "cut boxes",
        "identities",
        "tags",
        "splits",
        "nothing here",
        "crowds",
        "scores",
        "supercategories",
        "sigmas",
        "photos",
        "categories",
    }
)
"""What an export may lose beside places. "cut boxes": they are never cut."""
_JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


def common_losses(
    dataset: Dataset,
    *,
    pictures: str,
    flat_names: bool,
    raster: bool,
    keeps_fields: str,
    keypoints: bool,
    words: frozenset[str],
) -> list[ReportItem]:
    """The lines for a format.

    Args:
        pictures: "jpeg" or "png" when it writes all photos in that type, else "".
        flat_names: it gives photos new names in one folder.
        raster: its masks are pixels, outlines are drawn.
        keeps_fields: key of `extra` whose fields it writes again.
        keypoints: it carries keypoints.
        words: of `WORDS`, what it carries or says itself.
    """
    items: list[ReportItem] = []
    if pictures:
        items += _pictures(dataset, pictures)
    if flat_names:
        items += _names(dataset)
    items += _fields(dataset, keeps_fields)
    if raster:
        drawn = sum(outline_of(n) is not None for i in dataset.images for n in i.instances)
        if drawn:
            items.append(
                ReportItem("changed", said("{0} x outlines", drawn), "drawn as pixels: their corners are not kept")
            )
    items += lost([line for word, line in _beside(dataset).items() if word not in words])
    return items + (_partly(dataset) if keypoints else [])


def _beside(dataset: Dataset) -> dict[str, tuple[str, int, str]]:
    """What a data set says beside places: a line for each of `WORDS`."""
    instances = [n for i in dataset.images for n in i.instances]
    used = {n.category for n in instances}
    cut = sum(n.box is not None and _reaches_out(n.box, i) for i in dataset.images for n in i.instances)
    return {
        "boxes": ("boxes", sum(n.box is not None for n in instances), "no place for them"),
        "cut boxes": ("boxes that reach outside the photo", cut, "cut at its border"),
        "identities": ("identities", sum(bool(n.identity) for n in instances), "no place for them"),
        "tags": ("tags of photos", sum(bool(i.tags) for i in dataset.images), "no place for them"),
        "splits": ("splits of photos", sum(bool(i.split) for i in dataset.images), "no place for them"),
        "nothing here": (
            'photos with "nothing here"',
            sum(bool(i.nothing_here) for i in dataset.images),
            "no place for them",
        ),
        "crowds": ("marks of a crowd", sum(n.crowd for n in instances), "they look like single objects"),
        "scores": (
            "confidences of accepted labels",
            sum(n.score is not None and not n.proposal for n in instances),
            "no place for them",
        ),
        "supercategories": (
            "supercategories",
            sum(bool(c.supercategory) for c in dataset.categories),
            "no place for them",
        ),
        "sigmas": ("sigmas of keypoints", sum(bool(c.sigmas) for c in dataset.categories), "no place for them"),
        "photos": ("photos without labels", sum(not i.instances for i in dataset.images), "left out"),
        "categories": ("categories without labels", sum(c.name not in used for c in dataset.categories), "left out"),
    }


def _reaches_out(box: Box, image: DatasetImage) -> bool:
    return box[0] < 0 or box[1] < 0 or box[2] > image.width or box[3] > image.height


def _pictures(dataset: Dataset, kind: str) -> list[ReportItem]:
    if kind == "jpeg":
        count = sum(i.rel_path.suffix.lower() not in _JPEG or i.orientation != 1 for i in dataset.images)
    else:
        count = sum(i.rel_path.suffix.lower() != ".png" or i.orientation != 1 for i in dataset.images)
    if not count:
        return []
    name = kind.upper()
    return [
        ReportItem(
            "changed", said("{0} x photos", count), said("stored as {0} by us: pixels as shown, other bytes", name)
        )
    ]


def _names(dataset: Dataset) -> list[ReportItem]:
    renamed = [(p, s) for p, s in flat_stems(i.rel_path for i in dataset.images).items() if s != str(p.with_suffix(""))]
    if not renamed:
        return []
    path, stem = renamed[0]
    return [
        ReportItem(
            "changed",
            said("{0} x names of photos", len(renamed)),
            said("{0} is called {1} there; name_map.json has all", path, stem),
        )
    ]


def _fields(dataset: Dataset, kept: str) -> list[ReportItem]:
    """Fields that an imported file had beyond ours, of instances and photos."""
    names: dict[str, int] = {}
    for image in dataset.images:
        for extra in (image.extra, *(n.extra for n in image.instances)):
            for source, values in extra.items():
                if source == kept or not isinstance(values, dict) or source in ("outline", "video"):
                    continue
                for name, value in values.items():
                    if name not in _OWN_FIELDS and value not in (None, "", [], {}, 0):
                        names[name] = names.get(name, 0) + 1
    if not names:
        return []
    shown = ", ".join(sorted(names)[:6]) + (" ..." if len(names) > 6 else "")
    return [
        ReportItem(
            "lost",
            said("{0} x further fields of the imported file", sum(names.values())),
            said("no place for {0}", shown),
        )
    ]


def _partly(dataset: Dataset) -> list[ReportItem]:
    """Photos labelled only partly: an instance lacks keypoints that nobody looked at, or is a bare box or mask."""
    sizes = {c.name: c.schema.names for c in dataset.categories}
    lacking: dict[PurePosixPath, tuple[int, int]] = {}
    for image in dataset.images:
        for instance in image.instances:
            names = sizes.get(instance.category, ())
            if instance.proposal or instance.crowd:
                continue
            seen = sum(name in instance.keypoints for name in names)
            if seen < len(names):
                # The instance of which least was looked at stands for the photo.
                lacking[image.rel_path] = min(lacking.get(image.rel_path, (seen, len(names))), (seen, len(names)))
    if not lacking:
        return []
    shown = [f"{path} ({seen} of {total})" for path, (seen, total) in list(lacking.items())[:NAMED]]
    more = " ..." if len(lacking) > NAMED else ""
    return [
        ReportItem(
            "flagged",
            said("{0} x photos labelled only partly", len(lacking)),
            said("keypoints looked at: {0}{1}; the others go out as absent", ", ".join(shown), more),
        )
    ]
