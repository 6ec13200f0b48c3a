"""several instances a photo: how many a category may have, and where all of them are labelled."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CATEGORY = 2
"""`undo_row.table_no` of the categories."""


def upgrade() -> None:
    op.create_table(
        "exhaustive",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("category_id", sa.Integer(), nullable=False),
        sa.Column("holds", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["category_id"], ["category.id"], name=op.f("fk_exhaustive_category_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_exhaustive_image_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_exhaustive_category_id"), "exhaustive", ["category_id"], unique=False)
    op.create_index(op.f("ix_exhaustive_image_id"), "exhaustive", ["image_id"], unique=False)
    op.add_column("category", sa.Column("instances", sa.Text(), server_default="auto", nullable=False))
    op.add_column("image", sa.Column("exhaustive", sa.Integer(), nullable=True))
    op.create_index("ix_image_exhaustive_order", "image", ["exhaustive", "root_id", "lookup"], unique=False)
    op.create_index("ix_image_instance_count", "image", ["instance_count"], unique=False)
    op.create_index("ix_instance_category_id_image_id", "instance", ["category_id", "image_id"], unique=False)
    for column in ("exhaustive", "not_exhaustive"):
        op.add_column("image_total", sa.Column(column, sa.Integer(), server_default="0", nullable=False))
    # Undo puts whole rows back: those that were noted before have no value for the new column yet.
    op.execute(f"UPDATE undo_row SET v6 = 'auto' WHERE table_no = {CATEGORY} AND existed = 1")


def downgrade() -> None:
    raise NotImplementedError("a project is never brought back to an older version; restore its backup instead")
