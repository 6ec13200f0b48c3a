"""Names of categories, keypoints, identities and tags as a project holds them, for every reader.

Names come in one Unicode form: "é" as one character, as keyboards write it, not as "e" with an accent (macOS). Else two
categories of a project would look the same. A name that no project can hold is refused or, with `skip_bad`, left out alone.
"""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.base import BadItems, bad
from kinmark.projects.formats.checks import MAX_NAME, is_name
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report


def _one_form(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def composed(dataset: Dataset, report: Report) -> Dataset:
    """The data set with all names in Unicode's composed form; a name that is then another one's gets a number."""
    taken: set[str] = set()
    names: dict[str, str] = {}
    categories = []
    for category in dataset.categories:
        name, number = _one_form(category.name), 2
        while name in taken:
            name, number = f"{_one_form(category.name)} ({number})", number + 1
        if name != category.name and name != _one_form(category.name):
            what = said('category "{0}" in two Unicode forms', _one_form(category.name))
            report.add("changed", what, said('the later one is now "{0}"', name))
        taken.add(name)
        names[category.name] = name
        points = tuple(map(_one_form, category.schema.names))
        schema = replace(category.schema, names=points) if len(set(points)) == len(points) else category.schema
        categories.append(replace(category, name=name, schema=schema))
    points_of = {
        category.name: dict(zip(category.schema.names, new.schema.names, strict=True))
        for category, new in zip(dataset.categories, categories, strict=True)
    }
    images = tuple(_image(image, names, points_of) for image in dataset.images)
    return replace(dataset, categories=tuple(categories), images=images)


def _image(image: DatasetImage, names: dict[str, str], points_of: dict[str, dict[str, str]]) -> DatasetImage:
    def instance(old: DatasetInstance) -> DatasetInstance:
        points = points_of.get(old.category, {})
        identity = _one_form(old.identity)
        category = names.get(old.category, old.category)
        if category == old.category and identity == old.identity and all(points.get(n, n) == n for n in old.keypoints):
            return old
        keypoints = {points.get(n, n): k for n, k in old.keypoints.items()}
        return replace(old, category=category, identity=identity, keypoints=keypoints)

    return replace(
        image,
        instances=tuple(map(instance, image.instances)),
        tags=tuple(dict.fromkeys(map(_one_form, image.tags))),
        nothing_here=tuple(names.get(n, n) for n in image.nothing_here),
        exhaustive={names.get(n, n): holds for n, holds in image.exhaustive.items()},
    )


def usable(dataset: Dataset, source: str, report: Report, broken: BadItems) -> Dataset:
    """The data set without the categories and keypoints of names that no project can hold.

    Raises:
        ImportFileError: there is such a name (unless damaged items are left out); it names the file.
    """
    gone: set[str] = set()
    points: dict[str, set[str]] = {}
    for category in dataset.categories:
        inside = said('category "{0}"', category.name[:80])
        for place, name in (("", category.name), *((inside, n) for n in category.schema.names)):
            if is_name(name):
                continue
            hint = said("Use 1 to {0} printable characters.", MAX_NAME)
            what = said("{0} cannot be the name of a category", repr(name[:80]))
            if place:
                what = said("{0} cannot be the name of a keypoint", repr(name[:80]))
            broken.handle(what, bad(source, place, what, hint))
            if not place:
                gone.add(category.name)
            else:
                points.setdefault(category.name, set()).add(name)
    if not gone and not points:
        return dataset
    categories = tuple(_without(c, points.get(c.name, set())) for c in dataset.categories if c.name not in gone)
    images = tuple(
        replace(image, instances=_kept(image, gone, points, report), nothing_here=tuple({*image.nothing_here} - gone))
        for image in dataset.images
    )
    return replace(dataset, categories=categories, images=images)


def _without(category: DatasetCategory, points: set[str]) -> DatasetCategory:
    schema = category.schema
    names = tuple(n for n in schema.names if n not in points)
    place = {n: i for i, n in enumerate(names)}

    def moved(links: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        ends = ((schema.names[a], schema.names[b]) for a, b in links)
        return tuple((place[a], place[b]) for a, b in ends if a in place and b in place)

    sigmas = category.sigmas if len(names) == len(schema.names) else ()
    return replace(category, schema=KeypointSchema(names, moved(schema.edges), moved(schema.pairs)), sigmas=sigmas)


def _kept(
    image: DatasetImage, gone: set[str], points: dict[str, set[str]], report: Report
) -> tuple[DatasetInstance, ...]:
    kept = []
    for instance in image.instances:
        where, lost = str(image.rel_path), points.get(instance.category, set()) & instance.keypoints.keys()
        if instance.category in gone:
            report.count("skipped", "instance of a category that is left out", where, "the name cannot be held")
            continue
        if lost:
            report.count("skipped", "keypoint that is left out", where, "the name cannot be held", len(lost))
            instance = replace(instance, keypoints={n: k for n, k in instance.keypoints.items() if n not in lost})
        kept.append(instance)
    return tuple(kept)
