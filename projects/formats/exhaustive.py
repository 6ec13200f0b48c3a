""" "All instances are labelled" in files: our own words, and LVIS's `not_exhaustive_category_ids` and `neg_category_ids`.

What nobody labelled is background to whoever trains on an export. So an export says of every photo which categories are
labelled completely, where the format has a place for it, and names the photos in its losses where it has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kinmark.engine.domain.texts import said
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, ReportItem

KEY = "all_labelled"
NOT_EXHAUSTIVE, NEGATIVE = "not_exhaustive_category_ids", "neg_category_ids"
FIELDS = frozenset({KEY, NOT_EXHAUSTIVE, NEGATIVE})
ANY = "*"


def is_said(dataset: Dataset) -> bool:
    """Whether the question arises at all: a person answered it somewhere, or a photo may hold several of a category."""
    return any(category.several for category in dataset.categories) or any(image.exhaustive for image in dataset.images)


def maybe_unlabelled(image: DatasetImage, categories: Iterable[DatasetCategory]) -> list[str]:
    """Categories of which the photo holds labelled instances and may hold others: said so, or nobody said anything."""
    there = {instance.category for instance in image.instances if not instance.proposal}
    return [
        c.name
        for c in categories
        if image.exhaustive.get(c.name) is False or (c.several and c.name in there and c.name not in image.exhaustive)
    ]


def lvis_fields(image: DatasetImage, dataset: Dataset, ids: Mapping[str, int]) -> dict[str, Any]:
    """The fields of one COCO image: ours, and LVIS's in the ids of the file's categories."""
    absent = [n for n in ids if ANY in image.nothing_here or n in image.nothing_here]
    return {
        KEY: dict(image.exhaustive),
        NOT_EXHAUSTIVE: [ids[name] for name in maybe_unlabelled(image, dataset.categories)],
        NEGATIVE: [ids[name] for name in absent],
    }


def read_fields(image: DatasetImage, item: Item, names: Mapping[Any, str]) -> DatasetImage:
    """The image with what the file says about it; our own words come before LVIS's."""
    own = item.data.get(KEY)
    if isinstance(own, dict):
        return replace(image, exhaustive=said_of(own))
    missing, negative = _ids(item, NOT_EXHAUSTIVE, names), _ids(item, NEGATIVE, names)
    if negative:
        image = replace(image, nothing_here=tuple(dict.fromkeys((*image.nothing_here, *negative))))
    return replace(image, exhaustive=dict.fromkeys(missing, False))


def is_lvis(item: Item) -> bool:
    """Whether the image says in LVIS's way, and not in ours, what is incomplete."""
    return not isinstance(item.data.get(KEY), dict) and isinstance(item.data.get(NOT_EXHAUSTIVE), list)


def photo_name(item: Item) -> str:
    """The photo of a COCO image; LVIS names it by its address alone."""
    url = item.data.get("coco_url")
    return url if "file_name" not in item.data and isinstance(url, str) else item.text("file_name")


def complete_by_lvis(image: DatasetImage, instances: Iterable[DatasetInstance]) -> DatasetImage:
    """LVIS: what is annotated and not named as incomplete is complete."""
    there = dict.fromkeys(i.category for i in instances if not i.proposal)
    return replace(image, exhaustive={**dict.fromkeys(there, True), **image.exhaustive})


def _ids(item: Item, key: str, names: Mapping[Any, str]) -> list[str]:
    found = item.data.get(key)
    return [names[i] for i in found if isinstance(i, int) and i in names] if isinstance(found, list) else []


def said_of(words: Mapping[str, Any]) -> dict[str, bool]:
    """{category: whether all are labelled} of a JSON object; anything else in it is passed over."""
    return {str(name): value for name, value in words.items() if isinstance(value, bool)}


def image_words(image: DatasetImage) -> dict[str, Any]:
    """The photo's words for formats that carry a dictionary of ours."""
    words: dict[str, Any] = {
        "split": image.split,
        "tags": list(image.tags),
        "nothing_here": list(image.nothing_here),
    }
    return words | ({KEY: dict(image.exhaustive)} if image.exhaustive else {})


def read_words(image: DatasetImage, words: Item) -> DatasetImage:
    """The photo with what `image_words` wrote."""
    told = words.data.get(KEY)
    return replace(
        image,
        split=words.text("split", ""),
        tags=tuple(map(str, words.items("tags", []))),
        nothing_here=tuple(map(str, words.items("nothing_here", []))),
        exhaustive=said_of(told) if isinstance(told, dict) else {},
    )


def losses(dataset: Dataset) -> list[ReportItem]:
    """The lines of a format that has no place for it."""
    complete = sum(any(image.exhaustive.values()) for image in dataset.images)
    partial = [image for image in dataset.images if maybe_unlabelled(image, dataset.categories)]
    items = []
    if partial:
        items.append(
            ReportItem(
                "flagged",
                said("{0} x photos that may hold unlabelled instances", len(partial)),
                said("the format cannot say so, a trainer takes them for background (first: {0})", partial[0].rel_path),
            )
        )
    if complete:
        items.append(ReportItem("lost", said('{0} x "all are labelled"', complete), "the format has no place for it"))
    return items
