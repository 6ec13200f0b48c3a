"""Operations of reviewing and organising: nothing here, all labelled, tags, splits, identities, settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.models import Decision, Exhaustive, Identity, NothingHere, Split, Tag, TagLink
from kinmark.projects.store.operations.base import Op, OperationGroup, now_text, to_json
from kinmark.projects.store.operations.deciding import note_whole
from kinmark.projects.store.operations.schema import checked_name


class ReviewOperations(OperationGroup):
    """mark_nothing_here, set_exhaustive, tag, set_split, identities, settings."""

    def mark_nothing_here(self, image_ids: Iterable[int], category_id: int | None = None) -> OpChanges:
        """Looked at: no instance of the category (None: of any) is there. Its pending proposals are rejected with it.

        Images that have accepted instances of the category are skipped.
        """
        ids = list(dict.fromkeys(image_ids))
        with self._runner.operation("Mark as nothing here") as op:
            for image_id in ids:
                op.require("image", image_id, "image")
                if op.one(
                    "SELECT 1 FROM instance WHERE image_id = ? AND (? IS NULL OR category_id = ?)",
                    (image_id, category_id, category_id),
                ):
                    op.skipped.append(said("image {0}: has accepted instances", image_id))
                    continue
                pending = op.all(
                    "SELECT id FROM proposal WHERE image_id = ? AND (? IS NULL OR category_id = ?)",
                    (image_id, category_id, category_id),
                )
                note_whole(op, [row[0] for row in pending])
                op.run(f"DELETE FROM proposal WHERE id IN {op.collect('chosen', [row[0] for row in pending])}")
                op.run(
                    "DELETE FROM exhaustive WHERE image_id = ? AND (? IS NULL OR category_id = ?)",
                    (image_id, category_id, category_id),
                )
                if not op.one(
                    "SELECT 1 FROM nothing_here WHERE image_id = ? AND category_id IS ?", (image_id, category_id)
                ):
                    op.add(NothingHere, [{"image_id": image_id, "category_id": category_id}])
                op.count += 1
            op.ids = ids
        return op.changes

    def clear_nothing_here(self, image_ids: Iterable[int], category_id: int | None = None) -> OpChanges:
        """Back to "not looked at"."""
        with self._runner.operation("Clear nothing here") as op:
            chosen = op.collect("chosen", image_ids)
            op.count = op.run(
                f"DELETE FROM nothing_here WHERE image_id IN {chosen} AND category_id IS ?",
                (category_id,),
            )
        return op.changes

    def set_exhaustive(self, image_ids: Iterable[int], category_id: int, holds: bool | None) -> OpChanges:
        """Whether all instances of the category in these images are labelled (None: nobody says any more).

        With True, further ones that wait there are rejected with it, and nothing of the category is proposed there again.
        Images without an accepted instance of the category are skipped: "nothing here" says that of them.
        """
        ids = list(dict.fromkeys(image_ids))
        with self._runner.operation(
            "Mark as all labelled" if holds else "Mark as not all labelled" if holds is False else "Clear all labelled"
        ) as op:
            op.require("category", category_id, "category")
            for image_id in ids:
                op.require("image", image_id, "image")
                if holds and not op.one(
                    "SELECT 1 FROM instance WHERE image_id = ? AND category_id = ?", (image_id, category_id)
                ):
                    op.skipped.append(said("image {0}: has no accepted instance", image_id))
                    continue
                if holds:
                    self._reject_further(op, image_id, category_id)
                op.run(
                    "DELETE FROM exhaustive WHERE image_id = ? AND category_id = ? AND holds IS NOT ?",
                    (image_id, category_id, None if holds is None else int(holds)),
                )
                word = op.one(
                    "SELECT 1 FROM exhaustive WHERE image_id = ? AND category_id = ?", (image_id, category_id)
                )
                if holds is not None and word is None:
                    op.add(Exhaustive, [{"image_id": image_id, "category_id": category_id, "holds": int(holds)}])
                op.ids.append(image_id)
            op.count = len(op.ids)
        return op.changes

    def _reject_further(self, op: Op, image_id: int, category_id: int) -> None:
        pending = op.all(
            "SELECT id FROM proposal WHERE image_id = ? AND category_id = ? AND kind = 'keypoints' AND instance_id IS NULL",
            (image_id, category_id),
        )
        note_whole(op, [row[0] for row in pending])
        op.run(f"DELETE FROM proposal WHERE id IN {op.collect('chosen', [row[0] for row in pending])}")

    def tag(self, name: str, image_ids: Iterable[int] = (), *, instance_ids: Iterable[int] = ()) -> OpChanges:
        """Put the tag on images and instances (made if new); `ids[0]` is the tag."""
        name = checked_name(name, "tag")
        with self._runner.operation(said("Tag {name}", name=name)) as op:
            found = op.value("SELECT id FROM tag WHERE name = ?", (name,))
            tag_id = int(found) if found is not None else op.add(Tag, [{"name": name, "colour": ""}])[0]
            wanted: list[tuple[int, int | None]] = [(image_id, None) for image_id in image_ids]
            wanted += [(op.require("instance", id_, "instance")["image_id"], id_) for id_ in instance_ids]
            rows = [
                {"image_id": image_id, "tag_id": tag_id, "instance_id": instance_id}
                for image_id, instance_id in dict.fromkeys(wanted)
                if not op.one(
                    "SELECT 1 FROM tag_link WHERE tag_id = ? AND image_id = ? AND instance_id IS ?",
                    (tag_id, image_id, instance_id),
                )
            ]
            op.add(TagLink, rows)
            op.ids, op.count = [tag_id], len(rows)
        return op.changes

    def untag(self, name: str, image_ids: Iterable[int] = (), *, instance_ids: Iterable[int] = ()) -> OpChanges:
        """Take the tag off images and instances; a tag that nothing carries is removed."""
        with self._runner.operation(said("Untag {name}", name=name)) as op:
            tag_id = op.value("SELECT id FROM tag WHERE name = ?", (name,))
            if tag_id is None:
                raise UserInputError(said("There is no tag {0}.", name))
            images = op.collect("chosen", image_ids)
            op.count = op.run(
                f"DELETE FROM tag_link WHERE tag_id = ? AND instance_id IS NULL AND image_id IN {images}",
                (tag_id,),
            )
            instances = op.collect("chosen", instance_ids)
            op.count += op.run(f"DELETE FROM tag_link WHERE tag_id = ? AND instance_id IN {instances}", (tag_id,))
            op.run(
                "DELETE FROM tag WHERE id = ? AND NOT EXISTS (SELECT 1 FROM tag_link WHERE tag_id = tag.id)", (tag_id,)
            )
        return op.changes

    def set_split(self, splits: Mapping[int, str | None]) -> OpChanges:
        """{image id: "train" / "val" / "test" / any name, or None to take it out}."""
        with self._runner.operation("Set the split") as op:
            op.run(f"DELETE FROM split WHERE image_id IN {op.collect('chosen', splits)}")
            op.add(
                Split,
                [
                    {"image_id": image_id, "name": checked_name(name, "split")}
                    for image_id, name in splits.items()
                    if name
                ],
            )
            op.count = len(splits)
        return op.changes

    def add_identity(self, name: str, category_id: int | None = None, *, note: str = "") -> OpChanges:
        """A new identity; `ids[0]` is its id. UserInputError when the name is taken."""
        name = checked_name(name, "identity")
        with self._runner.operation(said("Add the identity {name}", name=name)) as op:
            if op.one("SELECT 1 FROM identity WHERE name = ?", (name,)):
                raise UserInputError(
                    said("There is already an identity {0}.", name), "Choose another name, or use that one."
                )
            op.ids = op.add(Identity, [{"name": name, "category_id": category_id, "note": note}])
            op.count = 1
        return op.changes

    def rename_identity(self, identity_id: int, name: str) -> OpChanges:
        """Rename; UserInputError when another one has that name (merge them instead)."""
        name = checked_name(name, "identity")
        with self._runner.operation(said("Rename an identity to {name}", name=name)) as op:
            op.require("identity", identity_id, "identity")
            if op.one("SELECT 1 FROM identity WHERE name = ? AND id <> ?", (name, identity_id)):
                raise UserInputError(said("There is already an identity {0}.", name), "Merge the two instead.")
            op.run("UPDATE identity SET name = ? WHERE id = ?", (name, identity_id))
            op.ids, op.count = [identity_id], 1
        return op.changes

    def merge_identities(self, keep_id: int, other_ids: Iterable[int]) -> OpChanges:
        """The others are the same individual as `keep_id`: their instances, proposals and decisions go over to it."""
        with self._runner.operation("Merge identities") as op:
            op.require("identity", keep_id, "identity")
            for other in other_ids:
                op.require("identity", other, "identity")
                if other == keep_id:
                    continue
                for table in ("instance", "proposal", "decision"):
                    op.run(f"UPDATE {table} SET identity_id = ? WHERE identity_id = ?", (keep_id, other))
                op.run("DELETE FROM identity WHERE id = ?", (other,))
                op.count += 1
            op.ids = [keep_id]
        return op.changes

    def split_identity(self, identity_id: int, instance_ids: Iterable[int], name: str) -> OpChanges:
        """These instances are another individual after all; `ids[0]` is the new identity."""
        name = checked_name(name, "identity")
        with self._runner.operation("Split an identity") as op:
            row = op.require("identity", identity_id, "identity")
            if op.one("SELECT 1 FROM identity WHERE name = ?", (name,)):
                raise UserInputError(said("There is already an identity {0}.", name), "Choose another name.")
            op.ids = op.add(Identity, [{"name": name, "category_id": row["category_id"], "note": ""}])
            chosen = op.collect("chosen", instance_ids)
            op.count = op.run(
                f"UPDATE instance SET identity_id = ? WHERE identity_id = ? AND id IN {chosen}",
                (op.ids[0], identity_id),
            )
        return op.changes

    def remove_identity(self, identity_id: int) -> OpChanges:
        """Forget an identity; its instances stay, without a name."""
        with self._runner.operation("Remove an identity") as op:
            op.require("identity", identity_id, "identity")
            op.count = op.run("DELETE FROM identity WHERE id = ?", (identity_id,))
        return op.changes

    def assign_identity(self, instance_ids: Iterable[int], identity_id: int | None) -> OpChanges:
        """Say who these instances are (None: unknown)."""
        with self._runner.operation("Assign the identity" if identity_id else "Clear the identity") as op:
            if identity_id is not None:
                op.require("identity", identity_id, "identity")
            ids = list(instance_ids)
            op.count = op.run(
                f"UPDATE instance SET identity_id = ? WHERE id IN {op.collect('chosen', ids)}",
                (identity_id,),
            )
            op.ids = ids
        return op.changes

    def deny_identity(self, image_id: int, category_id: int, identity_id: int, *, evidence: str = "") -> OpChanges:
        """This image does not show the identity, also where no proposal is pending: a hard negative."""
        with self._runner.operation("Deny the identity") as op:
            op.require("image", image_id, "image")
            pending = op.all(
                "SELECT id FROM proposal WHERE image_id = ? AND identity_id = ? AND kind = 'mask'",
                (image_id, identity_id),
            )
            if pending:
                note_whole(op, [row[0] for row in pending])
                op.run(f"DELETE FROM proposal WHERE id IN {op.collect('chosen', [row[0] for row in pending])}")
            else:
                op.add(Decision, [_denial(image_id, category_id, identity_id, evidence)])
            op.ids, op.count = [image_id], 1
        return op.changes

    def set_setting(self, key: str, value: Any) -> OpChanges:
        """Keep a JSON-able value under `key` (None removes it); view state and choices, not part of undo."""
        with self._runner.operation("Change a setting", undoable=False) as op:
            if value is None:
                op.run("DELETE FROM setting WHERE key = ?", (key,))
            else:
                op.run(
                    "INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    (key, to_json(value)),
                )
        return op.changes


def _denial(image_id: int, category_id: int, identity_id: int, evidence: str) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "category_id": category_id,
        "definition_id": None,
        "identity_id": identity_id,
        "instance_id": None,
        "run_id": None,
        "kind": "rejected",
        "target": "mask",
        "evidence": evidence,
        "confidence": None,
        "x": None,
        "y": None,
        "visibility": None,
        "side_px": None,
        "detail": "{}",
        "created_at": now_text(),
    }


__all__ = ["Op", "ReviewOperations"]
