"""what a step of the undo history is made from (template, count and name as data), and whether the program made it by itself."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("undo_step", sa.Column("said", sa.Text(), nullable=True))
    op.add_column("undo_step", sa.Column("origin", sa.Text(), server_default="person", nullable=False))
    # Until now what the program did by itself was told by its name.
    op.execute("UPDATE undo_step SET origin = 'program' WHERE name LIKE 'Improve %' AND merge_key LIKE 'job:%'")


def downgrade() -> None:
    raise NotImplementedError("a project is never brought back to an older version; restore its backup instead")
