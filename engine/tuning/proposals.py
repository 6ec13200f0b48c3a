"""What a person gets from a prompt: held-out photos proposed on from the teaching instances, as a sweep does it.

Thread: the engine thread. `kinmark.engine.matching` does the work: whitened features, all exemplars joined, a common shape, and
settings that the exemplars chose. They are chosen once, under the prompt that was used before, and serve both prompts: a
change of the settings is not the prompt's merit, and the difference of two choices would be mostly noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.geometry import expand_box
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.matching.plan.plan import Plan, apply_settings
from kinmark.engine.requests import Exemplar, MatchSettings, ProposeRequest, Target, TargetFailure, TuneRequest
from kinmark.engine.tuning.heldout import HeldOut
from kinmark.engine.tuning.material import Labelled, Split

if TYPE_CHECKING:
    from kinmark.engine.backbones.prompt import Prompt
    from kinmark.engine.session import EngineSession

POINTED_MARGIN = 0.05


@dataclass(frozen=True)
class _Group:
    """Instances that are proposed from each other: those of one category, of a request over several of them."""

    keypoints: tuple[int, ...]
    schema: KeypointSchema

    def own(self, exemplar: Exemplar) -> Exemplar:
        """The exemplar with this group's keypoints alone."""
        labels, chosen = exemplar.keypoints, list(self.keypoints)
        return replace(
            exemplar, keypoints=InstanceKeypoints(labels.xy_image[chosen], labels.visibility[chosen], labels.box)
        )

    def holds(self, item: Labelled) -> bool:
        """Whether the instance shows any of the group's keypoints."""
        return bool(item.exemplar.keypoints.labelled[list(self.keypoints)].any())


class ProposalJudge:
    """Set once (teaching instances, held-out photos), ask many (prompts).

    Args:
        before: the prompt under which the settings are chosen, on first use.
    """

    def __init__(
        self,
        session: EngineSession,
        request: TuneRequest,
        instances: Sequence[Labelled],
        split: Split,
        before: Prompt,
    ) -> None:
        self.session, self.request, self.before = session, request, before
        self.instances, self.split = instances, split
        self._groups = _groups(instances, request.schema)
        self._settings: dict[_Group, MatchSettings] = {}
        self._several = Counter(i.exemplar.image.image_id for i in instances)

    def measure(self, prompt: Prompt, targets: Sequence[int], cancel: CancelToken | None = None) -> HeldOut:
        """Errors of the proposed places on `targets` (indices of instances); nothing is said of what no exemplar shows.

        Raises:
            UnreadableImageError: a held-out photo has gone. OperationCancelled, OutOfMemoryError.
        """
        found: dict[int, NDArray[np.float64]] = {}
        for group in self._groups:
            own = [j for j in targets if group.holds(self.instances[j])]
            if own and any(group.holds(self.instances[i]) for i in self.split.train):
                found.update(zip(own, self._errors(group, prompt, own, cancel), strict=True))
        return HeldOut(tuple(found.get(j, np.zeros(0)) for j in targets))

    def plans(self, cancel: CancelToken | None = None) -> dict[int, Plan]:
        """Index of every instance -> the plan by which it is proposed (that of the first group it belongs to)."""
        found: dict[int, Plan] = {}
        for group in reversed(self._groups):
            plan = apply_settings(Plan(), self.settings(group, cancel))
            found.update({n: plan for n, item in enumerate(self.instances) if group.holds(item)})
        return found

    def settings(self, group: _Group, cancel: CancelToken | None) -> MatchSettings:
        """What the teaching instances choose under the prompt before."""
        from kinmark.engine.pipelines.registry import choose_settings

        if group not in self._settings:
            held_out = dict.fromkeys((*self.split.select, *self.split.report))
            self.session.hold_prompt(self.before)
            request = self._request(group, self.before, list(held_out))
            self._settings[group] = choose_settings(self.session, request, cancel=cancel).settings
        return self._settings[group]

    def _request(self, group: _Group, prompt: Prompt, targets: Sequence[int]) -> ProposeRequest:
        teaching = [self.instances[i] for i in self.split.train]
        held_out = dict.fromkeys(self.instances[j].exemplar.image for j in (*self.split.select, *self.split.report))
        return ProposeRequest(
            self.request.request_id,
            self.request.category,
            group.schema,
            tuple(group.own(item.exemplar) for item in teaching if group.holds(item)),
            tuple(self._target(self.instances[j]) for j in targets),
            backbone=self.request.backbone,
            prompt=prompt.id,
            collection=self.request.collection or tuple(held_out),
        )

    def _target(self, item: Labelled) -> Target:
        """The photo; where it shows several labelled instances, with the box that says which is meant."""
        image = item.exemplar.image
        several = self._several[image.image_id] > 1
        return Target(image, box=expand_box(item.box, margin=POINTED_MARGIN) if several else None)

    def _errors(
        self, group: _Group, prompt: Prompt, targets: Sequence[int], cancel: CancelToken | None
    ) -> list[NDArray[np.float64]]:
        from kinmark.engine.pipelines.registry import propose_keypoints

        settings = self.settings(group, cancel)
        # By its id alone a prompt that is not saved yet could not be found.
        self.session.hold_prompt(prompt)
        request = replace(self._request(group, prompt, targets), settings=settings)
        errors = []
        for j, answer in zip(targets, propose_keypoints(self.session, request, cancel=cancel), strict=True):
            if isinstance(answer, TargetFailure):
                raise answer.error
            errors.append(_distances(group, self.instances[j], answer))
        return errors


def _distances(group: _Group, item: Labelled, answer: InstanceProposal) -> NDArray[np.float64]:
    """Of every labelled keypoint that was proposed, whatever the proposal holds of its visibility."""
    own = group.own(item.exemplar).keypoints
    placed = {k.name: (k.x, k.y) for k in answer.keypoints}
    use = [i for i, name in enumerate(group.schema.names) if own.labelled[i] and name in placed]
    found = np.array([placed[group.schema.names[i]] for i in use], np.float64).reshape(-1, 2)
    return np.linalg.norm(found - own.xy_image[use], axis=1) / item.length


def _groups(instances: Sequence[Labelled], schema: KeypointSchema) -> tuple[_Group, ...]:
    """Keypoints that are labelled together, directly or through other instances: one group per category."""
    open_groups: list[set[int]] = []
    for item in instances:
        shown = {int(k) for k in np.flatnonzero(item.exemplar.keypoints.labelled)}
        shown |= {schema.flip_index[k] for k in shown}
        touched = [g for g in open_groups if g & shown]
        open_groups = [g for g in open_groups if not g & shown] + [shown.union(*touched)]
    groups = []
    for group in sorted(open_groups, key=min):
        chosen = tuple(sorted(group))
        place = {k: n for n, k in enumerate(chosen)}
        pairs = tuple((place[a], place[b]) for a, b in schema.pairs if a in place and b in place)
        groups.append(_Group(chosen, KeypointSchema(tuple(schema.names[k] for k in chosen), pairs=pairs)))
    return tuple(groups)
