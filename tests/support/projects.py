"""Small projects for tests: a schema, some images, proposals made by hand, and a dump of every row."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals, MaskProposal, Peak
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.project import Project
from kinmark.projects.store.history import UNLOGGED_TABLES
from kinmark.projects.store.inputs import InstancePart, NewImage, NewInstance, NewKeypoint
from kinmark.projects.store.models import Base

SCHEMA = KeypointSchema(("nose", "l_ear", "r_ear", "tail"), ((0, 1), (0, 2), (0, 3)), ((1, 2),))
SIZE_WH = (64, 48)
SPEC = RunSpec("match", "embedded", seed=1)


_templates: dict[int, bytes] = {}


def make_project(folder: Path, *, images: int = 6) -> Project:
    """An open project with one category and `images` images that exist only in the database (copied from the first such)."""
    if images in _templates:
        for sub in (folder, folder / "prompts", folder / "backups"):
            sub.mkdir(parents=True)
        (folder / "project.sqlite").write_bytes(_templates[images])
        return Project.open(folder)
    project = Project.create(folder)
    project.operations.add_category("otter", SCHEMA)
    add_images(project, images)
    project.close()
    _templates[images] = (folder / "project.sqlite").read_bytes()
    return Project.open(folder)


def add_images(project: Project, count: int, *, start: int = 0) -> tuple[int, ...]:
    """Add made-up images; returns their ids."""
    root = project.folder.parent / "photos"
    new = [NewImage(root, f"f{i % 3}/{i:06d}.jpg", *SIZE_WH, sha256=f"{i:064d}") for i in range(start, start + count)]
    return project.operations.add_images(new).ids


def keypoint_proposal(
    image_id: int, confidences: dict[str, float], *, seed: int = 0, exemplar: str = "1"
) -> InstanceProposal:
    """A proposed instance with the given confidences; positions follow from `seed`."""
    rng = random.Random(f"{seed}-{image_id}")
    keypoints = tuple(
        KeypointProposal(
            name,
            rng.uniform(0, SIZE_WH[0]),
            rng.uniform(0, SIZE_WH[1]),
            confidence,
            Visibility(rng.choice((0, 1, 2))),
            KeypointSignals(confidence, 0.1),
            (Peak(rng.uniform(0, 60), 3.5, 0.4),),
        )
        for name, confidence in confidences.items()
    )
    mean = sum(confidences.values()) / max(len(confidences), 1)
    return InstanceProposal("r", str(image_id), "otter", keypoints, mean, (1.0, 2.0, 41.0, 32.0), SPEC, (exemplar,))


def mask_proposal(image_id: int, confidence: float, *, here: bool = True) -> MaskProposal:
    """A proposed mask (or "not here")."""
    return MaskProposal("r", str(image_id), confidence, confidence, a_mask(image_id) if here else None, None, SPEC)


def a_mask(seed: int) -> MaskRLE:
    """A small mask with a hole."""
    mask = np.zeros((SIZE_WH[1], SIZE_WH[0]), dtype=bool)
    left = seed % 20
    mask[5:30, left : left + 20] = True
    mask[10:15, left + 5 : left + 9] = False
    return MaskRLE.encode(mask)


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table under undo, and the derived totals, read by a plain connection."""
    tables = [table.name for table in Base.metadata.sorted_tables if table.name not in UNLOGGED_TABLES]
    connection = sqlite3.connect(path)
    try:
        rows = {table: connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() for table in tables}
        rows["image_total"] = connection.execute("SELECT * FROM image_total ORDER BY state").fetchall()
        return rows
    finally:
        connection.close()


class RandomWork:
    """Runs random operations on a project: `run(number, seed)` picks one and its arguments. Every kind is reached."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.kinds: list[Callable[[random.Random], object]] = [
            getattr(self, name) for name in sorted(dir(self)) if name.startswith("do_")
        ]

    def run(self, number: int, seed: int) -> str:
        """One operation; what a person is told ("no longer there") is fine, anything else fails the test."""
        kind = self.kinds[number % len(self.kinds)]
        with contextlib.suppress(UserInputError):
            kind(random.Random(seed))
        return kind.__name__

    def _ids(self, table: str) -> list[int]:
        return [row[0] for row in self.project.queries._all(f"SELECT id FROM {table} ORDER BY id")]

    def _one(self, rng: random.Random, table: str) -> int:
        ids = self._ids(table)
        if not ids:
            raise UserInputError(f"no {table} yet")
        return rng.choice(ids)

    def _some(self, rng: random.Random, table: str) -> list[int]:
        ids = self._ids(table)
        return rng.sample(ids, rng.randint(0, min(4, len(ids)))) if ids else []

    def _keypoints(self, rng: random.Random, category_id: int) -> list[NewKeypoint]:
        rows = self.project.queries._all("SELECT id FROM keypoint_definition WHERE category_id = ?", (category_id,))
        return [
            NewKeypoint(row[0], rng.uniform(-5, 70), rng.uniform(0, 48), rng.choice((0, 1, 2)))
            for row in rows
            if rng.random() < 0.7
        ]

    def _instance(self, rng: random.Random) -> NewInstance:
        category = self._one(rng, "category")
        return NewInstance(
            self._one(rng, "image"),
            category,
            tuple(self._keypoints(rng, category)),
            (0.1, 0.2, rng.uniform(1, 60), 40.7) if rng.random() < 0.5 else None,
            a_mask(rng.randint(0, 30)) if rng.random() < 0.3 else None,
            rng.choice(self._some(rng, "identity") or [None]),
            rng.choice(("human", "imported")),
            extra={"iscrowd": rng.randint(0, 1)},
        )

    def do_add_category(self, rng: random.Random) -> None:
        self.project.operations.add_category(f"kind {rng.randint(0, 5)}", SCHEMA)

    def do_remove_category(self, rng: random.Random) -> None:
        if rng.random() < 0.3:
            self.project.operations.remove_category(self._one(rng, "category"))

    def do_rename_category(self, rng: random.Random) -> None:
        self.project.operations.rename_category(self._one(rng, "category"), f"name {rng.randint(0, 9)}")

    def do_edit_schema(self, rng: random.Random) -> None:
        names = rng.sample(["nose", "l_ear", "r_ear", "tail", "belly", "paw"], rng.randint(1, 6))
        edges = tuple((0, i) for i in range(1, len(names)))
        self.project.operations.edit_schema(self._one(rng, "category"), KeypointSchema(tuple(names), edges))

    def do_swap_names(self, rng: random.Random) -> None:
        swapped = KeypointSchema(("nose", "r_ear", "l_ear", "tail"), (), ((1, 2),))
        renamed = {"l_ear": "r_ear", "r_ear": "l_ear"}
        self.project.operations.edit_schema(self._one(rng, "category"), swapped, renamed=renamed)

    def do_keypoint_definitions(self, rng: random.Random) -> None:
        operations = self.project.operations
        which = rng.randint(0, 3)
        if which == 0:
            operations.add_keypoint(self._one(rng, "category"), f"extra {rng.randint(0, 3)}")
        elif which == 1:
            operations.retire_keypoint(self._one(rng, "keypoint_definition"))
        elif which == 2:
            operations.rename_keypoint(self._one(rng, "keypoint_definition"), f"renamed {rng.randint(0, 9)}")
        else:
            category = self.project.queries.category(self._one(rng, "category"))
            assert category is not None
            order = list(category.definition_ids)
            rng.shuffle(order)
            operations.reorder_keypoints(category.id, order)

    def do_links(self, rng: random.Random) -> None:
        category = self.project.queries.category(self._one(rng, "category"))
        assert category is not None
        ids = category.definition_ids
        if len(ids) > 1:
            self.project.operations.set_pairs(category.id, [(ids[0], ids[1])])
            self.project.operations.set_skeleton(category.id, [(ids[1], ids[0])])

    def do_add_images(self, rng: random.Random) -> None:
        add_images(self.project, rng.randint(1, 3), start=rng.randint(0, 20))

    def do_remove_images(self, rng: random.Random) -> None:
        self.project.operations.remove_images(self._some(rng, "image")[:1])

    def do_relink(self, rng: random.Random) -> None:
        self.project.operations.relink_root(self._one(rng, "image_root"), Path(f"/moved/{rng.randint(0, 3)}"))

    def do_relink_image(self, rng: random.Random) -> None:
        self.project.operations.relink_image(self._one(rng, "image"), Path("/other"), f"n{rng.randint(0, 9)}.jpg")

    def do_add_instances(self, rng: random.Random) -> None:
        self.project.operations.add_instances([self._instance(rng) for _ in range(rng.randint(1, 3))])

    def do_remove_instances(self, rng: random.Random) -> None:
        self.project.operations.remove_instances(self._some(rng, "instance"))

    def do_place(self, rng: random.Random) -> None:
        instance = self.project.queries.instance(self._one(rng, "instance"))
        assert instance is not None
        for keypoint in self._keypoints(rng, instance.category_id)[:1]:
            self.project.operations.place_keypoint(
                instance.id, keypoint.definition_id, keypoint.x, keypoint.y, keypoint.visibility
            )

    def do_move(self, rng: random.Random) -> None:
        for _ in range(rng.randint(1, 3)):
            self.project.operations.move_keypoint(
                self._one(rng, "keypoint"), rng.random() * 50, 0.1 + 0.2, merge_key="nudge"
            )

    def do_visibility(self, rng: random.Random) -> None:
        self.project.operations.set_visibility(self._one(rng, "keypoint"), rng.choice((0, 1, 2)))

    def do_remove_keypoints(self, rng: random.Random) -> None:
        self.project.operations.remove_keypoints(self._some(rng, "keypoint"))

    def do_transform(self, rng: random.Random) -> None:
        matrix = np.array([[1.1, rng.random(), 3.0], [-0.2, 0.9, 1.0]])
        self.project.operations.transform_instance(self._one(rng, "instance"), matrix)

    def do_mirror(self, rng: random.Random) -> None:
        if rng.random() < 0.5:
            self.project.operations.mirror_instance(self._one(rng, "instance"))
        else:
            self.project.operations.swap_sides(self._one(rng, "instance"))

    def do_copy(self, rng: random.Random) -> None:
        self.project.operations.copy_instance(self._one(rng, "instance"), self._one(rng, "image"))

    def do_mask(self, rng: random.Random) -> None:
        mask = a_mask(rng.randint(0, 30)) if rng.random() < 0.7 else None
        self.project.operations.set_mask(self._one(rng, "instance"), mask)

    def do_box_and_extra(self, rng: random.Random) -> None:
        instance = self._one(rng, "instance")
        self.project.operations.set_box(instance, (1.5, 2.5, rng.uniform(3, 60), 20.25) if rng.random() < 0.8 else None)
        self.project.operations.set_extra(instance, {"text": "ä", "n": rng.randint(0, 9)})

    def _part(self, rng: random.Random) -> InstancePart:
        if rng.random() < 0.5:
            return InstancePart(None, (self._one(rng, "proposal"),))
        instance = self._one(rng, "instance")
        rows = self.project.queries._all("SELECT id FROM proposal WHERE instance_id = ?", (instance,))
        return InstancePart(instance, tuple(row[0] for row in rows))

    def do_merge_instances(self, rng: random.Random) -> None:
        self.project.operations.merge_instances(self._part(rng), [self._part(rng)])

    def do_split_instance(self, rng: random.Random) -> None:
        self.project.operations.split_instance(self._part(rng), self._some(rng, "keypoint_definition"))

    def do_give_keypoint(self, rng: random.Random) -> None:
        definition = self._one(rng, "keypoint_definition")
        self.project.operations.give_keypoint(self._part(rng), definition, self._part(rng))

    def do_exhaustive(self, rng: random.Random) -> None:
        holds = rng.choice((True, False, None))
        self.project.operations.set_exhaustive(self._some(rng, "image"), self._one(rng, "category"), holds)

    def do_instances(self, rng: random.Random) -> None:
        self.project.operations.set_instances(self._one(rng, "category"), rng.choice(("auto", "one", "7")))

    def do_set_category(self, rng: random.Random) -> None:
        self.project.operations.set_category(self._one(rng, "instance"), self._one(rng, "category"))

    def do_propose(self, rng: random.Random) -> None:
        category = self.project.queries.category(self._one(rng, "category"))
        assert category is not None
        images = self._some(rng, "image")
        proposals = [
            keypoint_proposal(
                i,
                {n: rng.random() for n in category.schema.names if rng.random() < 0.8},
                seed=rng.randint(0, 9),
                exemplar=str(rng.randint(0, 2)),
            )
            for i in images
        ]
        if rng.random() < 0.5:
            proposals += [keypoint_proposal(i, {"nose": 0.4, "tail": 0.3}, seed=rng.randint(10, 19)) for i in images]
            images += images
        targets = [rng.choice(self._some(rng, "instance") or [None]) for _ in images] if rng.random() < 0.3 else None
        self.project.operations.add_keypoint_proposals(
            proposals, category.id, job=rng.choice(("", "sweep")), instance_ids=targets
        )

    def do_propose_masks(self, rng: random.Random) -> None:
        proposals = [mask_proposal(i, rng.random(), here=rng.random() < 0.8) for i in self._some(rng, "image")]
        identity = rng.choice(self._some(rng, "identity") or [None])
        self.project.operations.add_mask_proposals(proposals, self._one(rng, "category"), identity_id=identity)

    def do_accept(self, rng: random.Random) -> None:
        ids = self._some(rng, "proposal") if rng.random() < 0.5 else None
        self.project.operations.accept_proposals(ids, min_confidence=rng.choice((0.0, 0.3, 0.7)))

    def do_accept_keypoints(self, rng: random.Random) -> None:
        ids = self._some(rng, "keypoint_proposal")
        positions = {ids[0]: (3.25, 4.5, 1)} if ids else None
        self.project.operations.accept_keypoints(ids, positions=positions)

    def do_reject(self, rng: random.Random) -> None:
        limit = rng.choice((None, 0.5))
        self.project.operations.reject_proposals(self._some(rng, "proposal"), max_confidence=limit)

    def do_reject_keypoints(self, rng: random.Random) -> None:
        self.project.operations.reject_keypoints(self._some(rng, "keypoint_proposal"))

    def do_clear(self, rng: random.Random) -> None:
        self.project.operations.clear_proposals(self._some(rng, "proposal"))

    def do_nothing_here(self, rng: random.Random) -> None:
        category = rng.choice([None, self._one(rng, "category")])
        if rng.random() < 0.7:
            self.project.operations.mark_nothing_here(self._some(rng, "image"), category)
        else:
            self.project.operations.clear_nothing_here(self._some(rng, "image"), category)

    def do_tags(self, rng: random.Random) -> None:
        name = rng.choice(("blurred", "night"))
        if rng.random() < 0.6:
            self.project.operations.tag(name, self._some(rng, "image"), instance_ids=self._some(rng, "instance"))
        else:
            self.project.operations.untag(name, self._some(rng, "image"), instance_ids=self._some(rng, "instance"))

    def do_split(self, rng: random.Random) -> None:
        self.project.operations.set_split({i: rng.choice(("train", "test", None)) for i in self._some(rng, "image")})

    def do_identities(self, rng: random.Random) -> None:
        operations = self.project.operations
        which = rng.randint(0, 6)
        if which <= 1:
            operations.add_identity(f"Pip {rng.randint(0, 9)}")
        elif which == 2:
            operations.merge_identities(self._one(rng, "identity"), self._some(rng, "identity"))
        elif which == 3:
            operations.split_identity(
                self._one(rng, "identity"), self._some(rng, "instance"), f"Pup {rng.randint(0, 9)}"
            )
        elif which == 4:
            operations.remove_identity(self._one(rng, "identity"))
        elif which == 5:
            operations.deny_identity(self._one(rng, "image"), self._one(rng, "category"), self._one(rng, "identity"))
        else:
            operations.assign_identity(self._some(rng, "instance"), self._one(rng, "identity"))

    def do_group(self, rng: random.Random) -> None:
        with self.project.group("Several at once"):
            self.do_add_instances(rng)
            self.do_propose(rng)
            self.do_accept(rng)

    def do_failing_group(self, rng: random.Random) -> None:
        with contextlib.suppress(ZeroDivisionError), self.project.group("Fails half-way"):
            self.do_add_images(rng)
            self.do_add_instances(rng)
            raise ZeroDivisionError
