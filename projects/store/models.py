"""The tables of `project.sqlite` (SQLAlchemy typed ORM).

Accepted truth (`instance`, `keypoint`, `mask`) and unreviewed proposals (`proposal`, `keypoint_proposal`, `mask_proposal`)
never share a table. All coordinates are xy_image (float64). Every table has an `id` that is never used twice
(AUTOINCREMENT), because undo and redo bring rows back under their old ids.

Rows that belong to one image carry its `image_id`, also where a parent row would tell: the counters of an image and the
list of changed images after an operation come from it without a join.

There is deliberately no unique index on columns that an operation may swap between two rows (names, positions): undo puts
whole sets of rows back in one statement, where a swap would trip over it. The operations check those.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
}


class Base(DeclarativeBase):
    """Common parent of the mapped classes."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {str: Text}


def primary_key() -> Mapped[int]:
    """An id that is never used twice."""
    return mapped_column(Integer, primary_key=True, autoincrement=True)


def _parent(table: str, *, index: bool = True) -> Mapped[int]:
    return mapped_column(ForeignKey(f"{table}.id", ondelete="CASCADE"), index=index)


def _optional(table: str, *, index: bool = False) -> Mapped[int | None]:
    return mapped_column(ForeignKey(f"{table}.id", ondelete="SET NULL"), index=index)


AUTO = {"sqlite_autoincrement": True}
STATES = ("unseen", "pending", "partly", "done", "nothing")
DOUBT = 0.5
"""Pending confidence under which an image counts as doubtful."""


class ImageRoot(Base):
    """A folder that images were added from; `path` is POSIX, relative to the project folder when `relative` is 1."""

    __tablename__ = "image_root"
    __table_args__ = (AUTO,)
    id: Mapped[int] = primary_key()
    path: Mapped[str]
    relative: Mapped[int] = mapped_column(default=0)


class Image(Base):
    """One photo. The columns after `mtime_ns` are derived or observed: kept by the store, not part of undo.

    `rel_path` is POSIX relative to the root with the file's own bytes; `lookup` is its NFC form. `width`, `height` are of
    the oriented image. `state` is one of `STATES`; `file_state` is ok, changed or missing. `exhaustive` 1: a person said of
    every category with instances here that all of them are labelled; 0: of one that they are not; NULL: not said.
    """

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("root_id", "lookup"),
        Index("ix_image_state_order", "state", "root_id", "lookup"),
        Index("ix_image_sha256", "sha256"),
        Index("ix_image_state_min_confidence", "state", "min_confidence"),
        Index("ix_image_exhaustive_order", "exhaustive", "root_id", "lookup"),
        Index("ix_image_instance_count", "instance_count"),
        AUTO,
    )
    id: Mapped[int] = primary_key()
    root_id: Mapped[int] = mapped_column(ForeignKey("image_root.id", ondelete="CASCADE"))
    rel_path: Mapped[str]
    lookup: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    orientation: Mapped[int] = mapped_column(default=1)
    frames: Mapped[int] = mapped_column(default=1)
    sha256: Mapped[str] = mapped_column(default="")
    size_bytes: Mapped[int] = mapped_column(default=0)
    mtime_ns: Mapped[int] = mapped_column(default=0)
    source_id: Mapped[str | None]
    file_state: Mapped[str] = mapped_column(server_default="ok")
    state: Mapped[str] = mapped_column(server_default="unseen")
    instance_count: Mapped[int] = mapped_column(server_default="0")
    keypoint_count: Mapped[int] = mapped_column(server_default="0")
    mask_count: Mapped[int] = mapped_column(server_default="0")
    pending_count: Mapped[int] = mapped_column(server_default="0")
    min_confidence: Mapped[float | None]
    exhaustive: Mapped[int | None]


class ImageTotal(Base):
    """Totals over the images of one state, kept by triggers, so that the filter list costs nothing at any size."""

    __tablename__ = "image_total"
    state: Mapped[str] = mapped_column(primary_key=True)
    images: Mapped[int] = mapped_column(default=0)
    doubtful: Mapped[int] = mapped_column(default=0)
    instances: Mapped[int] = mapped_column(default=0)
    keypoints: Mapped[int] = mapped_column(default=0)
    masks: Mapped[int] = mapped_column(default=0)
    exhaustive: Mapped[int] = mapped_column(server_default="0")
    not_exhaustive: Mapped[int] = mapped_column(server_default="0")


class Category(Base):
    """A kind of thing that is labelled; its keypoints are `keypoint_definition` rows.

    `instances`: how many of it a photo may hold: auto (learned from the labels), one, or a number as text.
    """

    __tablename__ = "category"
    __table_args__ = (AUTO,)
    id: Mapped[int] = primary_key()
    name: Mapped[str]
    supercategory: Mapped[str] = mapped_column(default="")
    colour: Mapped[str] = mapped_column(default="")
    position: Mapped[int] = mapped_column(default=0)
    source_id: Mapped[str | None]
    extra: Mapped[str] = mapped_column(default="{}")
    instances: Mapped[str] = mapped_column(server_default="auto")


class KeypointDefinition(Base):
    """A named keypoint of a category; its id stays the same through renames and reorderings. Retired, never deleted."""

    __tablename__ = "keypoint_definition"
    __table_args__ = (AUTO,)
    id: Mapped[int] = primary_key()
    category_id: Mapped[int] = _parent("category")
    name: Mapped[str]
    position: Mapped[int] = mapped_column(default=0)
    colour: Mapped[str] = mapped_column(default="")
    retired: Mapped[int] = mapped_column(default=0)


class SkeletonEdge(Base):
    """A line of the skeleton between two keypoint definitions."""

    __tablename__ = "skeleton_edge"
    __table_args__ = (AUTO,)
    id: Mapped[int] = primary_key()
    category_id: Mapped[int] = _parent("category")
    from_id: Mapped[int] = _parent("keypoint_definition", index=False)
    to_id: Mapped[int] = _parent("keypoint_definition", index=False)
    position: Mapped[int] = mapped_column(default=0)


class SidePair(Base):
    """A left/right pair of keypoint definitions."""

    __tablename__ = "side_pair"
    __table_args__ = (AUTO,)
    id: Mapped[int] = primary_key()
    category_id: Mapped[int] = _parent("category")
    left_id: Mapped[int] = _parent("keypoint_definition", index=False)
    right_id: Mapped[int] = _parent("keypoint_definition", index=False)


class Identity(Base):
    """The same individual or object in many images."""

    __tablename__ = "identity"
    __table_args__ = (AUTO,)
    id: Mapped[int] = primary_key()
    name: Mapped[str]
    category_id: Mapped[int | None] = _optional("category", index=True)
    note: Mapped[str] = mapped_column(default="")


class Run(Base):
    """What made proposals: a RunSpec (canonical JSON) and its fingerprint, once per job."""

    __tablename__ = "run"
    __table_args__ = (Index("ix_run_job_fingerprint", "job", "fingerprint"), AUTO)
    id: Mapped[int] = primary_key()
    fingerprint: Mapped[str]
    spec: Mapped[str]
    job: Mapped[str] = mapped_column(default="")
    created_at: Mapped[str] = mapped_column(default="")


class Instance(Base):
    """One accepted object in one image. `origin`: human, proposal or imported."""

    __tablename__ = "instance"
    __table_args__ = (Index("ix_instance_category_id_image_id", "category_id", "image_id"), AUTO)
    id: Mapped[int] = primary_key()
    image_id: Mapped[int] = _parent("image")
    category_id: Mapped[int] = _parent("category")
    identity_id: Mapped[int | None] = _optional("identity", index=True)
    x0: Mapped[float | None]
    y0: Mapped[float | None]
    x1: Mapped[float | None]
    y1: Mapped[float | None]
    origin: Mapped[str] = mapped_column(default="human")
    run_id: Mapped[int | None] = _optional("run")
    source_id: Mapped[str | None]
    extra: Mapped[str] = mapped_column(default="{}")


class Keypoint(Base):
    """One accepted keypoint; `visibility` 0 absent (x, y NULL), 1 hidden, 2 visible. No row = not looked at."""

    __tablename__ = "keypoint"
    __table_args__ = (
        UniqueConstraint("instance_id", "definition_id"),
        CheckConstraint("visibility IN (0, 1, 2)", name="visibility"),
        Index("ix_keypoint_image_id", "image_id"),
        Index("ix_keypoint_definition_id", "definition_id"),
        AUTO,
    )
    id: Mapped[int] = primary_key()
    image_id: Mapped[int] = _parent("image", index=False)
    instance_id: Mapped[int] = _parent("instance", index=False)
    definition_id: Mapped[int] = _parent("keypoint_definition", index=False)
    x: Mapped[float | None]
    y: Mapped[float | None]
    visibility: Mapped[int]
    origin: Mapped[str] = mapped_column(default="human")
    run_id: Mapped[int | None] = _optional("run")
    confidence: Mapped[float | None]


class Mask(Base):
    """The accepted mask of an instance: COCO column-major compressed RLE."""

    __tablename__ = "mask"
    __table_args__ = (UniqueConstraint("instance_id"), AUTO)
    id: Mapped[int] = primary_key()
    image_id: Mapped[int] = _parent("image")
    instance_id: Mapped[int] = _parent("instance", index=False)
    height: Mapped[int]
    width: Mapped[int]
    counts: Mapped[str]
    area: Mapped[int]
    origin: Mapped[str] = mapped_column(default="human")
    run_id: Mapped[int | None] = _optional("run")


class Proposal(Base):
    """A proposed instance: what one run says about one object in one image, waiting for a decision.

    `kind` keypoints or mask. `here` 0: the run says "not here" (kept for the ranking, never pending).
    `instance_id`: the accepted instance that its keypoints complete. `evidence` identifies what the run knew.
    """

    __tablename__ = "proposal"
    __table_args__ = (
        Index("ix_proposal_image_id_category_id", "image_id", "category_id"),
        Index("ix_proposal_category_id_kind_confidence", "category_id", "kind", "here", "confidence"),
        AUTO,
    )
    id: Mapped[int] = primary_key()
    image_id: Mapped[int] = _parent("image", index=False)
    category_id: Mapped[int] = _parent("category", index=False)
    run_id: Mapped[int | None] = _optional("run")
    instance_id: Mapped[int | None] = _optional("instance", index=True)
    identity_id: Mapped[int | None] = _optional("identity", index=True)
    kind: Mapped[str]
    here: Mapped[int] = mapped_column(default=1)
    confidence: Mapped[float]
    score: Mapped[float | None]
    rank: Mapped[int] = mapped_column(default=0)
    x0: Mapped[float | None]
    y0: Mapped[float | None]
    x1: Mapped[float | None]
    y1: Mapped[float | None]
    evidence: Mapped[str] = mapped_column(default="")
    extra: Mapped[str] = mapped_column(default="{}")


class KeypointProposalRecord(Base):
    """One proposed keypoint, pending; `detail` is JSON with its signals and further peaks."""

    __tablename__ = "keypoint_proposal"
    __table_args__ = (
        UniqueConstraint("proposal_id", "definition_id"),
        Index("ix_keypoint_proposal_image_id", "image_id"),
        Index("ix_keypoint_proposal_definition_id_confidence", "definition_id", "confidence"),
        AUTO,
    )
    id: Mapped[int] = primary_key()
    image_id: Mapped[int] = _parent("image", index=False)
    proposal_id: Mapped[int] = _parent("proposal", index=False)
    definition_id: Mapped[int] = _parent("keypoint_definition", index=False)
    x: Mapped[float | None]
    y: Mapped[float | None]
    visibility: Mapped[int]
    confidence: Mapped[float]
    detail: Mapped[str] = mapped_column(default="{}")


class MaskProposalRecord(Base):
    """The proposed mask of a proposal, pending."""

    __tablename__ = "mask_proposal"
    __table_args__ = (UniqueConstraint("proposal_id"), AUTO)
    id: Mapped[int] = primary_key()
    image_id: Mapped[int] = _parent("image")
    proposal_id: Mapped[int] = _parent("proposal", index=False)
    height: Mapped[int]
    width: Mapped[int]
    counts: Mapped[str]
    area: Mapped[int]
    peak_x: Mapped[float | None]
    peak_y: Mapped[float | None]


class Decision(Base):
    """What a person decided about a proposal; the memory of rejections and the record that calibration is fitted on.

    `kind` accepted or rejected. `definition_id` NULL: about the proposal as a whole. (x, y) is where the run had put it,
    `detail` its signals as JSON, `side_px` the longer side of the instance's box then.
    """

    __tablename__ = "decision"
    __table_args__ = (
        Index("ix_decision_image_id_category_id", "image_id", "category_id"),
        Index("ix_decision_category_id", "category_id"),
        Index("ix_decision_instance_id", "instance_id"),
        AUTO,
    )
    id: Mapped[int] = primary_key()
    image_id: Mapped[int] = _parent("image", index=False)
    category_id: Mapped[int] = _parent("category", index=False)
    definition_id: Mapped[int | None] = _optional("keypoint_definition")
    identity_id: Mapped[int | None] = _optional("identity", index=True)
    instance_id: Mapped[int | None] = _optional("instance")
    run_id: Mapped[int | None] = _optional("run")
    kind: Mapped[str]
    target: Mapped[str]
    evidence: Mapped[str] = mapped_column(default="")
    confidence: Mapped[float | None]
    x: Mapped[float | None]
    y: Mapped[float | None]
    visibility: Mapped[int | None]
    side_px: Mapped[float | None]
    detail: Mapped[str] = mapped_column(default="{}")
    created_at: Mapped[str] = mapped_column(default="")


class NothingHere(Base):
    """A person looked: no instance of this category (NULL: of any) is in the image."""

    __tablename__ = "nothing_here"
    __table_args__ = (AUTO,)
    id: Mapped[int] = primary_key()
    image_id: Mapped[int] = _parent("image")
    category_id: Mapped[int | None] = mapped_column(ForeignKey("category.id", ondelete="CASCADE"), index=True)


class Exhaustive(Base):
    """Of a category in an image all instances are labelled (`holds` 1), or some are not (0), as a person said; no row: not said."""

    __tablename__ = "exhaustive"
    __table_args__ = (AUTO,)
    id: Mapped[int] = primary_key()
    image_id: Mapped[int] = _parent("image")
    category_id: Mapped[int] = _parent("category")
    holds: Mapped[int]


class Tag(Base):
    """A word that images or instances can carry."""

    __tablename__ = "tag"
    __table_args__ = (AUTO,)
    id: Mapped[int] = primary_key()
    name: Mapped[str]
    colour: Mapped[str] = mapped_column(default="")


class TagLink(Base):
    """A tag on an image, or on one of its instances."""

    __tablename__ = "tag_link"
    __table_args__ = (AUTO,)
    id: Mapped[int] = primary_key()
    image_id: Mapped[int] = _parent("image")
    tag_id: Mapped[int] = _parent("tag")
    instance_id: Mapped[int | None] = mapped_column(ForeignKey("instance.id", ondelete="CASCADE"), index=True)


class Split(Base):
    """Which part of a data set (train, val, test) an image belongs to."""

    __tablename__ = "split"
    __table_args__ = (UniqueConstraint("image_id"), AUTO)
    id: Mapped[int] = primary_key()
    image_id: Mapped[int] = _parent("image", index=False)
    name: Mapped[str]


class Setting(Base):
    """A project setting as JSON. Not part of undo."""

    __tablename__ = "setting"
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
