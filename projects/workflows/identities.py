"""Identities: the same individual in many photos. Look them up, split by photo, export crops, masks and a table."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from kinmark.engine.domain.errors import KnownError, UnreadableImageError, UserInputError
from kinmark.engine.domain.geometry import Box, clip_box, expand_box
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import load_image
from kinmark.projects.project import Project
from kinmark.projects.store.rows import IdentityRow, ImageRow

CROP_MARGIN = 0.1
CSV_COLUMNS = (
    "identity",
    "category",
    "image",
    "status",
    "confidence",
    "x0",
    "y0",
    "x1",
    "y1",
    "mask_area",
    "crop",
    "cutout",
    "mask",
)


@dataclass
class IdentityExport:
    """What an export wrote."""

    identities: int = 0
    instances: int = 0
    files: int = 0
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Item:
    identity: IdentityRow
    category: str
    image: ImageRow
    status: str
    confidence: float | None
    box: Box | None
    mask: MaskRLE | None


def require_identity(project: Project, name: str) -> IdentityRow:
    """The identity of that name; UserInputError that lists the known ones."""
    row = project.queries.identity(name)
    if row is None:
        known = ", ".join(i.name for i in project.queries.identities()[:20]) or "none yet"
        raise UserInputError(said("There is no identity {0}.", name), said("Known: {0}.", known))
    return row


def split_by_images(project: Project, name: str, new: str, images: Sequence[str]) -> int:
    """The instances of `name` on these photos become the identity `new`; returns how many. UserInputError when none."""
    identity = require_identity(project, name)
    ids = []
    for which in images:
        row = project.queries.image_named(which)
        if row is None:
            raise UserInputError(
                said("There is no image {0} in the project.", which), "Give its path in the image folder."
            )
        ids.append(row.id)
    chosen = [i.id for i in project.queries.instances(identity_id=identity.id) if i.image_id in set(ids)]
    if not chosen:
        raise UserInputError(
            said("{0} has no confirmed instance on these photos.", name), "See: kinmark identities list."
        )
    return project.operations.split_identity(identity.id, chosen, new).count


def safe_name(name: str) -> str:
    """A file name part that every system takes."""
    plain = unicodedata.normalize("NFC", name).strip()
    return re.sub(r"[^\w\-]+", "_", plain).strip("_") or "identity"


def export_identities(
    project: Project,
    out: Path,
    *,
    names: Sequence[str] = (),
    suggested: bool = False,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> IdentityExport:
    """Write `OUT/<identity>/NN_crop.jpg`, `NN_cutout.png` (transparent outside the mask), `NN_mask.png` and `identities.csv`.

    Args:
        out: made when needed; must be empty.
        names: only these identities; () = all.
        suggested: also pending suggestions (status "suggested" in the table).

    Raises:
        UserInputError: the folder is not empty, an unknown name. KnownError: it cannot be written.
    """
    if out.exists() and any(out.iterdir()):
        raise UserInputError(said("The folder {0} is not empty.", out), "Choose a new folder.")
    rows = [require_identity(project, n) for n in names] or list(project.queries.identities())
    items = [item for row in rows for item in _items(project, row, suggested)]
    report = IdentityExport(identities=len({i.identity.id for i in items}))
    if progress is not None:
        progress.start("Exporting identities", len(items))
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / "identities.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, CSV_COLUMNS)
            table.writeheader()
            counters: dict[str, int] = {}
            for item in items:
                if cancel is not None:
                    cancel.check()
                _write_item(out, item, counters, table, report)
                if progress is not None:
                    progress.step(note=item.image.file_name)
    except OSError as error:
        raise KnownError(
            said("Cannot write the export to {0}.", out), "Check space and permissions.", repr(error)
        ) from None
    return report


def _items(project: Project, identity: IdentityRow, suggested: bool) -> list[_Item]:
    categories = {c.id: c.name for c in project.queries.categories()}
    instances = project.queries.instances(identity_id=identity.id)
    proposals = project.queries.proposals(identity_id=identity.id, kind="mask") if suggested else ()
    images = project.queries.images_by_id([i.image_id for i in instances] + [p.image_id for p in proposals])
    items = []
    for instance in instances:
        mask = instance.mask.rle if instance.mask else None
        box = instance.box or (mask.box if mask else None)
        category = categories.get(instance.category_id, "")
        items.append(_Item(identity, category, images[instance.image_id], "confirmed", None, box, mask))
    for proposal in proposals:
        category = categories.get(proposal.category_id, "")
        box = proposal.box or (proposal.mask.box if proposal.mask else None)
        items.append(
            _Item(identity, category, images[proposal.image_id], "suggested", proposal.confidence, box, proposal.mask)
        )
    return items


def _write_item(
    out: Path, item: _Item, counters: dict[str, int], table: csv.DictWriter[str], report: IdentityExport
) -> None:
    if item.box is None:
        report.skipped.append(said("{0}: {1} has neither mask nor box there", item.image.file_name, item.identity.name))
        return
    try:
        rgb = load_image(item.image.path).rgb
    except UnreadableImageError as error:
        report.skipped.append(str(error))
        return
    folder = safe_name(item.identity.name)
    counters[folder] = counters.get(folder, 0) + 1
    stem = f"{folder}/{counters[folder]:04d}"
    (out / folder).mkdir(exist_ok=True)
    x0, y0, x1, y1 = _pixels(item.box, (rgb.shape[1], rgb.shape[0]))
    Image.fromarray(rgb[y0:y1, x0:x1]).save(out / f"{stem}_crop.jpg", quality=92)
    written = {"crop": f"{stem}_crop.jpg", "cutout": "", "mask": ""}
    if item.mask is not None and (item.mask.height, item.mask.width) == rgb.shape[:2]:
        mask = item.mask.decode()
        alpha = (mask * np.uint8(255)).astype(np.uint8)
        cut = np.dstack([rgb, alpha])[y0:y1, x0:x1]
        Image.fromarray(cut).save(out / f"{stem}_cutout.png")
        Image.fromarray(alpha).save(out / f"{stem}_mask.png")
        written |= {"cutout": f"{stem}_cutout.png", "mask": f"{stem}_mask.png"}
    report.files += sum(bool(v) for v in written.values())
    report.instances += 1
    corners = dict(zip(("x0", "y0", "x1", "y1"), item.box, strict=True))
    table.writerow(
        {
            "identity": item.identity.name,
            "category": item.category,
            "image": item.image.file_name,
            "status": item.status,
            "confidence": "" if item.confidence is None else round(item.confidence, 4),
            "mask_area": item.mask.area if item.mask else "",
        }
        | corners
        | written
    )


def _pixels(box: Box, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box with a margin as whole pixels inside the photo, at least one pixel large."""
    x0, y0, x1, y1 = clip_box(expand_box(box, margin=CROP_MARGIN), size_wh)
    left, top = min(int(x0), size_wh[0] - 1), min(int(y0), size_wh[1] - 1)
    return left, top, max(left + 1, round(x1)), max(top + 1, round(y1))
