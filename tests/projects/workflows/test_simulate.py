"""Counting of the simulated annotator, and a whole run with an engine that answers from a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.api import Calibration, DecisionRecord, MatchSettings, ProposeRequest, SettingsChoice
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema, Visibility
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.workflows.annotator import SimulateOptions, count_actions
from kinmark.projects.workflows.simulate import simulate

SCHEMA = KeypointSchema(("a", "b", "c"))
POINTS = np.array([[10.5, 10.5], [40.5, 12.5], [30.5, 30.5]])


def proposal(image_id: str, xy: np.ndarray, absent: tuple[int, ...] = (), confidence: float = 0.9) -> InstanceProposal:
    signals = KeypointSignals(1, 1)
    keypoints = tuple(
        KeypointProposal(
            n, float(x), float(y), confidence, Visibility.ABSENT if i in absent else Visibility.VISIBLE, signals
        )
        for i, (n, (x, y)) in enumerate(zip(SCHEMA.names, xy, strict=True))
    )
    return InstanceProposal("r", image_id, "cat", keypoints, 0.9, None, RunSpec("match", "toy"))


def truth(visibility: tuple[int, ...] = (2, 2, 2)) -> InstanceKeypoints:
    v = np.array(visibility)
    return InstanceKeypoints(np.where((v > 0)[:, None], POINTS, np.nan), v, (0.0, 0.0, 50.0, 40.0))


@pytest.mark.parametrize(
    ("seen", "shift", "absent", "expected"),
    [
        ((2, 2, 2), 0.0, (), (1, 0, 0)),
        ((2, 2, 2), 4.9, (), (1, 0, 0)),
        ((2, 2, 2), 5.1, (), (0, 3, 0)),
        ((2, 2, 0), 0.0, (), (1, 0, 1)),
        ((2, 2, 0), 0.0, (2,), (1, 0, 0)),
        ((2, 2, 2), 0.0, (1,), (1, 1, 0)),
    ],
)
def test_actions_of_one_review(
    seen: tuple[int, ...], shift: float, absent: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    actions = count_actions(truth(seen), proposal("x", POINTS + [shift, 0], absent), SCHEMA)
    assert (actions.accept, actions.corrections, actions.rejections) == expected


def test_without_an_answer_everything_is_placed_by_hand() -> None:
    assert count_actions(truth(), None, SCHEMA).total == 3


class TableEngine:
    """Answers every target with the true points moved by `shift`; remembers how many exemplars it was given."""

    def __init__(self, shift: float) -> None:
        self.shift, self.given, self.chosen = shift, [], 0  # type: ignore[var-annotated]
        self.confidence, self.records = 0.9, 0

    def calibrate(self, records: tuple[DecisionRecord, ...]) -> Calibration:
        assert all(r.correct == (self.shift == 0) for r in records)
        self.records = len(records)
        return Calibration("project", len(records))

    def choose_settings(self, request: ProposeRequest, **_: Any) -> SettingsChoice:
        self.chosen += 1
        return SettingsChoice(MatchSettings(method="nn"), exemplars=len(request.exemplars))

    def propose_keypoints(self, request: ProposeRequest, **_: Any) -> Iterator[InstanceProposal]:
        self.given.append(len(request.exemplars))
        for target in request.targets:
            yield proposal(target.image.image_id, POINTS + [self.shift, 0], confidence=self.confidence)


def dataset(folder: Path, count: int) -> Path:
    images, annotations = [], []
    for index in range(count):
        Image.new("RGB", (60, 50), "grey").save(folder / f"{index}.png")
        images.append({"id": index + 1, "file_name": f"{index}.png", "width": 60, "height": 50})
        flat = [v for x, y in POINTS - 0.5 for v in (int(x), int(y), 2)]
        annotations.append(
            {
                "id": index + 1,
                "image_id": index + 1,
                "category_id": 1,
                "bbox": [0, 0, 50, 40],
                "area": 1,
                "iscrowd": 0,
                "keypoints": flat,
                "num_keypoints": 3,
            }
        )
    categories = [{"id": 1, "name": "cat", "keypoints": list(SCHEMA.names), "skeleton": []}]
    file = folder / "labels.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def test_right_proposals_cost_one_action_each(tmp_path: Path) -> None:
    engine = TableEngine(0.0)
    report = simulate(engine, dataset(tmp_path, 8), tmp_path, SimulateOptions(exemplars=2))  # type: ignore[arg-type]
    assert (report["actions"], report["manual_actions"], report["correct_keypoints"]) == (2 * 3 + 6, 24, 24)
    assert report["ratio"] == pytest.approx(12 / 24)
    assert report["later_ratio"] == report["categories"][0]["later_ratio"] == pytest.approx(6 / 18)
    parts = report["categories"][0]
    assert (parts["accepts"], parts["corrections"], parts["rejections"], parts["pointings"]) == (6, 0, 0, 0)
    # Every accepted photo is an exemplar at once, and the settings are chosen again when their number has doubled.
    assert engine.given == [2, 3, 4, 5, 6, 7] and engine.chosen == 2


def test_wrong_proposals_cost_what_labelling_by_hand_costs(tmp_path: Path) -> None:
    report = simulate(TableEngine(30.0), dataset(tmp_path, 5), tmp_path, SimulateOptions(exemplars=2))  # type: ignore[arg-type]
    assert report["ratio"] == 1.0 and report["categories"][0]["proposed_right"] == 0
    assert report["categories"][0]["corrections"] == 9 and report["categories"][0]["accepts"] == 0


def test_what_is_not_worth_a_look_is_labelled_by_hand(tmp_path: Path) -> None:
    """By its own confidence (3 x 0.3 - 1 < 0) reviewing costs more than it saves; so it is not even shown."""
    engine = TableEngine(30.0)
    engine.confidence = 0.3
    report = simulate(engine, dataset(tmp_path, 5), tmp_path, SimulateOptions(exemplars=2))  # type: ignore[arg-type]
    parts = report["categories"][0]
    assert report["ratio"] == 1.0 and (parts["not_shown"], parts["proposed"]) == (3, 0)
    assert proposal("x", POINTS, confidence=0.3).expected_saving == pytest.approx(-0.1)
    assert proposal("x", POINTS, absent=(1,)).expected_saving == pytest.approx(2 * 0.9 - 1)


def test_a_proposal_of_absent_points_is_rejected_whole(tmp_path: Path) -> None:
    """Three points that are not there cost one action to dismiss, not three."""
    file = dataset(tmp_path, 3)
    data = json.loads(file.read_text())
    data["annotations"][2]["keypoints"] = [0] * 6 + data["annotations"][2]["keypoints"][6:]
    file.write_text(json.dumps(data))
    report = simulate(TableEngine(30.0), file, tmp_path, SimulateOptions(exemplars=2))  # type: ignore[arg-type]
    parts = report["categories"][0]
    assert report["manual_actions"] == 7 and report["actions"] == 6 + 1 + 1
    assert (parts["dismissed"], parts["rejections"], parts["corrections"]) == (1, 0, 0)


def test_pointing_is_expected_to_pay_as_it_did_and_decisions_train_the_confidence(tmp_path: Path) -> None:
    file = dataset(tmp_path, 14)
    data = json.loads(file.read_text())
    for annotation in list(data["annotations"]):  # a second, unlabelled one in every photo: the person has to point
        second = {**annotation, "id": annotation["id"] + 100, "keypoints": [0] * 9, "num_keypoints": 0}
        data["annotations"].append(second)
    file.write_text(json.dumps(data))
    wrong, right = TableEngine(30.0), TableEngine(0.0)
    options = SimulateOptions(exemplars=2)
    report = simulate(wrong, file, tmp_path, options)  # type: ignore[arg-type]
    parts = report["categories"][0]
    # 1.7 are promised and nothing is saved: after two of them less than one action is expected.
    assert (parts["pointings"], parts["not_shown"]) == (2, 10)
    assert report["actions"] == report["manual_actions"] + 2 and wrong.records == 0
    report = simulate(right, file, tmp_path, options)  # type: ignore[arg-type]
    assert report["categories"][0]["pointings"] == 12 and right.records == 30


def test_too_few_instances_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="more than 5"):
        simulate(TableEngine(0.0), dataset(tmp_path, 3), tmp_path, SimulateOptions(exemplars=5))  # type: ignore[arg-type]


def test_groups_are_proposed_at_once_and_nobody_points(tmp_path: Path) -> None:
    """Three cats in each of four photos: one by hand, then two missing in its photo, nine in the others, one ghost a photo."""
    from kinmark.engine.domain.alike import is_taken

    places = np.array([[0.0, 0.0], [60.0, 0.0], [0.0, 60.0]])

    class GroupEngine(TableEngine):
        def calibrate(self, records: tuple[DecisionRecord, ...]) -> Calibration:
            self.records = len(records)
            return Calibration("project", len(records))

        def propose_keypoints(self, request: ProposeRequest, **_: Any) -> Iterator[InstanceProposal]:
            self.given.append([len(t.taken) for t in request.targets])
            for target in request.targets:
                assert target.limit == 10 - len(target.taken)
                for place in [*places[:2], np.array([60.0, 60.0])]:
                    points = POINTS + place
                    if not is_taken(InstanceKeypoints(points, np.full(3, 2)), target.taken):
                        yield proposal(target.image.image_id, points)

    images, annotations = [], []
    for index in range(4):
        Image.new("RGB", (120, 110), "grey").save(tmp_path / f"{index}.png")
        images.append({"id": index + 1, "file_name": f"{index}.png", "width": 120, "height": 110})
        for number, place in enumerate(places):
            flat = [v for x, y in POINTS + place - 0.5 for v in (int(x), int(y), 2)]
            annotations.append(
                {
                    "id": 3 * index + number + 1,
                    "image_id": index + 1,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [*place.tolist(), 50, 40],
                    "area": 1,
                    "keypoints": flat,
                    "num_keypoints": 3,
                }
            )
    categories = [{"id": 1, "name": "cat", "keypoints": list(SCHEMA.names), "skeleton": []}]
    file = tmp_path / "labels.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    engine = GroupEngine(0.0)
    report = simulate(engine, file, tmp_path, SimulateOptions(exemplars=1, instances="auto"))  # type: ignore[arg-type]
    parts = report["categories"][0]
    assert engine.given[0] == [1] and [n for given in engine.given for n in given] == [1, 0, 0, 0]
    # By hand 3; photo 1: one right (1), one missed (3), a ghost (1); each other photo: two right (2), one missed (3), a ghost (1).
    assert report["actions"] == 3 + 5 + 3 * 6 and report["manual_actions"] == 36
    assert (parts["ghosts"], parts["not_shown"], parts["pointings"], parts["accepts"]) == (4, 4, 0, 7)
    assert report["correct_keypoints"] == 36
    with pytest.raises(UserInputError, match="does not say"):
        simulate(engine, file, tmp_path, SimulateOptions(exemplars=1, instances="few"))  # type: ignore[arg-type]
