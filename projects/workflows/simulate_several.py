"""The simulated annotator of groups: all instances of a photo are proposed at once, nobody points.

What is labelled already is not proposed again. A proposal that lies on an animal is reviewed as ever; one that lies on none
costs one action to reject; an animal without a proposal is labelled by hand. Places are compared as `kinmark.engine.domain.alike` does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from kinmark.engine.api import DecisionRecord, Exemplar, ImageInput, Target, TargetFailure
from kinmark.engine.domain.alike import SAME_FROM, place_similarity
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema, Visibility
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.projects.places import LEARNED_LEAST
from kinmark.projects.several import AUTO, checked_instances
from kinmark.projects.workflows.annotator import BATCH_SHARE, Sample, Simulation, Tally


def placed_of(answer: InstanceProposal, schema: KeypointSchema) -> InstanceKeypoints:
    """The proposal in the schema's order, `[K, 2]` xy_image, NaN where absent."""
    xy, visibility = np.full((len(schema), 2), np.nan), np.zeros(len(schema), dtype=np.int64)
    for keypoint in answer.keypoints:
        index = schema.names.index(keypoint.name)
        if keypoint.visibility != Visibility.ABSENT:
            xy[index], visibility[index] = (keypoint.x, keypoint.y), int(keypoint.visibility)
    return InstanceKeypoints(xy, visibility)


def pairs_of(samples: list[Sample], answers: list[InstanceProposal], schema: KeypointSchema) -> dict[int, int]:
    """{index of an animal: index of the proposal that lies on it}, the most alike first, each at most once."""
    placed = [placed_of(answer, schema) for answer in answers]
    alike = [
        (place_similarity(sample.truth, points), i, j)
        for i, sample in enumerate(samples)
        for j, points in enumerate(placed)
    ]
    pairs: dict[int, int] = {}
    for score, i, j in sorted(alike, key=lambda row: (-row[0], row[1], row[2])):
        if score >= SAME_FROM and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


class SeveralSimulation(Simulation):
    """One category, photo after photo."""

    def run(self, samples: list[Sample]) -> Tally:
        """Label them all; the photo in which the last one by hand lies may hold others still."""
        tally, accepted = self._by_hand(samples)
        limit = self._limit(samples)
        rest: dict[ImageInput, list[Sample]] = {}
        for sample in samples[self.options.exemplars :]:
            rest.setdefault(sample.image, []).append(replace(sample, pointed=False))
        photos, position = list(rest), 0
        while position < len(photos):
            size = max(1, int(len(accepted) * BATCH_SHARE))
            batch, left = photos[position : position + size], photos[position:]
            before = tally.actions
            answers = self._ask(accepted, batch, left, limit, tally)
            for photo in batch:
                self._review_photo(rest[photo], answers.get(photo.image_id, []), tally)
            done = [sample for photo in batch for sample in rest[photo]]
            accepted += [Exemplar(s.image, s.truth) for s in done]
            hand = sum(int(s.truth.labelled.sum()) for s in done)
            tally.curve.append((len(accepted) - len(done), (tally.actions - before) / max(1, hand)))
            position += len(batch)
        return tally

    def _limit(self, samples: list[Sample]) -> int:
        word = checked_instances(self.options.instances)
        if word != AUTO:
            return int(word)
        most = max(Counter(sample.image for sample in samples).values())
        return max(LEARNED_LEAST, 2 * most)

    def _ask(
        self, accepted: list[Exemplar], batch: list[ImageInput], left: list[ImageInput], limit: int, tally: Tally
    ) -> dict[str, list[InstanceProposal]]:
        def target(photo: ImageInput) -> Target:
            taken = tuple(e.keypoints for e in accepted if e.image == photo)
            return Target(photo, taken=taken, limit=max(1, limit - len(taken)))

        request = self.request(accepted, tuple(map(target, batch)), tuple(map(target, left)), tuple(left), tally)
        answers: dict[str, list[InstanceProposal]] = {}
        for answer in self.engine.propose_keypoints(request, progress=self.progress, cancel=self.cancel):
            if isinstance(answer, TargetFailure):
                tally.failures.append(str(answer.error))
            else:
                answers.setdefault(answer.image_id, []).append(answer)
        return answers

    def _review_photo(self, samples: list[Sample], answers: list[InstanceProposal], tally: Tally) -> None:
        pairs = pairs_of(samples, answers, self.category.schema)
        for index, sample in enumerate(samples):
            if index in pairs:
                self._review(sample, answers[pairs[index]], tally)
            else:
                by_hand = int(sample.truth.labelled.sum())
                tally.correct_keypoints += by_hand
                tally.actions += by_hand
                tally.not_shown += 1
        for number, answer in enumerate(answers):
            if number not in pairs.values():
                tally.actions += 1
                tally.ghosts += 1
                self.records += [DecisionRecord(k.signals, False, int(k.visibility)) for k in answer.keypoints]
