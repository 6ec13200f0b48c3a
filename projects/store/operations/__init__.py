"""Named operations: every write to a project is one of these; each is one transaction and one undo step."""

from kinmark.projects.store.operations.images import ImageOperations
from kinmark.projects.store.operations.instances import InstanceOperations
from kinmark.projects.store.operations.placing import PlacingOperations
from kinmark.projects.store.operations.proposal_rows import evidence_of
from kinmark.projects.store.operations.proposals import ProposalOperations
from kinmark.projects.store.operations.regrouping import RegroupingOperations
from kinmark.projects.store.operations.review import ReviewOperations
from kinmark.projects.store.operations.schema import SchemaOperations


class Operations(
    ImageOperations,
    SchemaOperations,
    InstanceOperations,
    PlacingOperations,
    RegroupingOperations,
    ProposalOperations,
    ReviewOperations,
):
    """All operations of a project; every method returns `OpChanges`."""


__all__ = ["Operations", "evidence_of"]
