"""One door for `kinmark evaluate`: correspondence archives here, instance sets in `instances`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.evaluation.datasets import DATASETS
from kinmark.engine.requests import EvaluateRequest

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession

INSTANCE_SETS = ("folder", "perseg", "permis", "permir", "davis")


def evaluate(
    session: EngineSession,
    request: EvaluateRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> dict[str, Any]:
    """Run the data set of the request; its errors are those of the module that does."""
    if request.dataset in DATASETS:
        from kinmark.engine.evaluation.correspondence import evaluate_correspondence

        return evaluate_correspondence(session, request, progress=progress, cancel=cancel)
    if request.dataset in INSTANCE_SETS:
        from kinmark.engine.evaluation.instance_protocols import InstanceEvaluation, evaluate_instances

        options = InstanceEvaluation(request.backbone, limit=request.limit)
        return evaluate_instances(
            session, request.dataset, request.root, options=options, progress=progress, cancel=cancel
        )
    known = ", ".join([*DATASETS, *INSTANCE_SETS])
    raise UserInputError(said("There is no data set '{0}'.", request.dataset), said("Known: {0}.", known))
