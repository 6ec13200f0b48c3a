"""Reading a project: frozen rows out, nothing lazy, everything bounded by paging."""

from kinmark.projects.store.queries.annotations import AnnotationQueries
from kinmark.projects.store.queries.images import Counts, ImageFilter, ImageQueries
from kinmark.projects.store.queries.proposals import ProposalQueries


class Queries(ImageQueries, AnnotationQueries, ProposalQueries):
    """All queries of a project. The owner thread of the Project."""


__all__ = ["Counts", "ImageFilter", "Queries"]
