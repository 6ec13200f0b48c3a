"""What an export changes whatever the format is: said before anything is written, beside the format's own losses.

Names and pictures that are written anew, fields of an imported file that have no place, outlines that become pixels, and
photos whose labels are not finished.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from projects.formats.dataset import Dataset, DatasetInstance, ReportItem
from projects.formats.outlines import outline_of
from projects.formats.stems import flat_stems

_OWN_FIELDS = frozenset({"bbox", "area", "segmentation", "iscrowd", "num_keypoints", "keypoints", "id"})
NAMED = 5
"""Photos that a line names."""
_JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


def common_losses(
    dataset: Dataset, *, pictures: str, flat_names: bool, raster: bool, keeps_fields: str, keypoints: bool
) -> list[ReportItem]:
    """The lines for a format.

    Args:
        pictures: "jpeg" or "png" when it writes all photos in that type, else "".
        flat_names: it gives photos new names in one folder.
        raster: its masks are pixels, outlines are drawn.
        keeps_fields: key of `extra` whose fields it writes again.
        keypoints: it carries keypoints.
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
            items.append(ReportItem("changed", f"{drawn} x outlines", "drawn as pixels: their corners are not kept"))
    return items + (_unfinished(dataset) if keypoints else [])


def _pictures(dataset: Dataset, kind: str) -> list[ReportItem]:
    if kind == "jpeg":
        count = sum(i.rel_path.suffix.lower() not in _JPEG or i.orientation != 1 for i in dataset.images)
    else:
        count = sum(i.rel_path.suffix.lower() != ".png" or i.orientation != 1 for i in dataset.images)
    if not count:
        return []
    name = kind.upper()
    return [ReportItem("changed", f"{count} x photos", f"stored as {name} by us: pixels as shown, other bytes")]


def _names(dataset: Dataset) -> list[ReportItem]:
    renamed = [(p, s) for p, s in flat_stems(i.rel_path for i in dataset.images).items() if s != str(p.with_suffix(""))]
    if not renamed:
        return []
    path, stem = renamed[0]
    return [
        ReportItem(
            "changed", f"{len(renamed)} x names of photos", f"{path} is called {stem} there; name_map.json has all"
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
    return [ReportItem("lost", f"{sum(names.values())} x further fields of the imported file", f"no place for {shown}")]


def _unfinished(dataset: Dataset) -> list[ReportItem]:
    """Instances of which only some keypoints were looked at, and bare boxes of categories that have keypoints."""
    sizes = {c.name: c.schema.names for c in dataset.categories}
    some: list[tuple[PurePosixPath, int, int]] = []
    bare: list[PurePosixPath] = []
    for image in dataset.images:
        for instance in image.instances:
            names = sizes.get(instance.category, ())
            if not names or instance.proposal or instance.crowd:
                continue
            seen = sum(name in instance.keypoints for name in names)
            if not seen and _has_region(instance):
                bare.append(image.rel_path)
            elif 0 < seen < len(names):
                some.append((image.rel_path, seen, len(names)))
    items = []
    if some:
        shown = ", ".join(f"{path} ({seen} of {total})" for path, seen, total in some[:NAMED])
        more = " ..." if len(some) > NAMED else ""
        items.append(
            ReportItem("flagged", f"{len(some)} x instances not finished", f"keypoints looked at: {shown}{more}")
        )
    if bare:
        shown = ", ".join(map(str, bare[:NAMED])) + (" ..." if len(bare) > NAMED else "")
        items.append(
            ReportItem("flagged", f"{len(bare)} x instances without any keypoint", f"a bare box or mask: {shown}")
        )
    return items


def _has_region(instance: DatasetInstance) -> bool:
    return instance.box is not None or instance.mask is not None
