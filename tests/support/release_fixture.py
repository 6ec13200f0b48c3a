"""Makes the small project that every later version must be able to open; run once per released schema version.

python -m tests.support.release_fixture
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

from kinmark.projects.store import migrate
from kinmark.projects.store.database import DATABASE_NAME
from kinmark.projects.store.inputs import NewKeypoint
from tests.support.projects import a_mask, keypoint_proposal, make_project, mask_proposal

PLACE = Path(__file__).parents[1] / "fixtures" / "projects"


def main() -> None:
    """Write `tests/fixtures/projects/vNNNN.kinmark` for the schema version of this code."""
    target = PLACE / f"v{migrate.VERSION:04d}.kinmark"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "p.kinmark"
        with make_project(folder, images=5) as project:
            category = project.queries.categories()[0]
            operations = project.operations
            points = [
                NewKeypoint(d, 1.5 + i, 0.1 * i + 0.2, (2, 1, 2, 2)[i]) for i, d in enumerate(category.definition_ids)
            ]
            [pip] = operations.add_identity("Pip", category.id).ids
            operations.add_instance(1, category.id, points, box=(0.5, 0.25, 40, 30), mask=a_mask(2), identity_id=pip)
            operations.add_keypoint_proposals(
                [keypoint_proposal(i, {"nose": 0.9, "tail": 0.2}) for i in (2, 3)], category.id
            )
            operations.accept_proposals(image_ids=[2], min_confidence=0.5)
            operations.reject_proposals(image_ids=[2])
            operations.mark_nothing_here([4])
            operations.tag("night", [1])
            operations.set_split({1: "train", 2: "test"})
            operations.add_mask_proposals([mask_proposal(5, 0.1, here=False)], category.id, identity_id=pip)
            operations.set_setting("view", {"zoom": 2})
            operations.set_instances(category.id, "7")
            operations.set_exhaustive([1], category.id, True)
            operations.set_exhaustive([3], category.id, False)
            operations.add_instance(5, category.id, points[:1])
            project.undo()
        connection = sqlite3.connect(folder / DATABASE_NAME, isolation_level=None)
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA page_size=1024")
        connection.execute("VACUUM")
        connection.close()
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / DATABASE_NAME, target / DATABASE_NAME)
    print(f"{target}: {(target / DATABASE_NAME).stat().st_size} bytes")


if __name__ == "__main__":
    main()
