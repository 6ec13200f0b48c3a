"""A child performs acknowledged operations and is killed at a random moment, round after round.

    python -m tests.faults.kill_rounds --rounds 500 [--json FILE]

Each round a forked child opens the project, announces every operation on a pipe before it starts it and acknowledges it
when it is done. The parent kills it (SIGKILL) and then demands: the state is exactly that of the acknowledged operations,
or that plus the one announced operation; the database is in order; undo takes back the last step exactly.
Every tenth round the files are also copied while the child is stopped in mid-work, with everything after the last complete
commit of the journal overwritten: what a power cut may leave. The copy must hold every acknowledged operation too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kinmark.projects.project import Project
from kinmark.projects.store.database import DATABASE_NAME
from kinmark.projects.store.inputs import NewKeypoint
from tests.support.projects import keypoint_proposal, make_project

State = dict[str, Any]
IMAGES = 40


@dataclass
class Model:
    """What the database must hold: instances by name (their nose's x), pending images, and the states to undo to."""

    now: State = field(default_factory=lambda: {"noses": {}, "pending": []})
    before: list[State] = field(default_factory=list)

    def apply(self, op: list[Any]) -> None:
        kind, *rest = op
        if kind == "undo":
            if self.before:
                self.now = self.before.pop()
            return
        self.before.append(deepcopy(self.now))
        if kind in ("add", "move"):
            self.now["noses"][rest[0]] = rest[1]
        elif kind == "remove":
            del self.now["noses"][rest[0]]
        elif kind == "propose":
            self.now["pending"] = sorted({*self.now["pending"], *rest[0]})
        elif kind == "accept":
            self.now["pending"] = [image for image in self.now["pending"] if image not in rest[0]]
            for image in rest[0]:
                self.now["noses"][f"image {image}"] = rest[1][str(image)]


def read_state(project: Project) -> State:
    """The same facts read from the database."""
    nose = project.queries.categories()[0].definition_ids[0]
    noses = {}
    for instance in project.queries.iter_instances():
        point = next(k for k in instance.keypoints if k.definition_id == nose)
        noses[instance.source_id or f"image {instance.image_id}"] = point.x
    return {"noses": noses, "pending": sorted(p.image_id for p in project.queries.proposals())}


def work_forever(folder: Path, seed: int, pipe: int) -> None:
    """The child: operations until killed."""
    rng = random.Random(seed)
    with Project.open(folder) as project:
        for number in range(10**9):
            op = choose(project, rng, f"{seed}-{number}")
            os.write(pipe, (json.dumps(["begin", op]) + "\n").encode())
            perform(project, op)
            os.write(pipe, b'["done"]\n')


def choose(project: Project, rng: random.Random, name: str) -> list[Any]:
    """A next operation that can be done now."""
    queries = project.queries
    state = read_state(project)
    kind = rng.choice(("add", "add", "move", "move", "propose", "accept", "remove", "undo"))
    own = sorted(n for n in state["noses"] if not n.startswith("image "))
    if kind == "move" and own:
        return ["move", rng.choice(own), rng.random() * 50]
    if kind == "remove" and len(own) > 30:
        return ["remove", rng.choice(own)]
    free = [i for i in range(2, IMAGES + 1) if f"image {i}" not in state["noses"] and i not in state["pending"]]
    if kind == "propose" and free:
        return ["propose", rng.sample(free, min(3, len(free)))]
    if kind == "accept" and state["pending"]:
        images = rng.sample(state["pending"], min(2, len(state["pending"])))
        xs = {str(p.image_id): p.keypoints[0].x for p in queries.proposals(image_id=images)}
        return ["accept", images, xs]
    if kind == "undo" and len(queries.history(3)) > 2:
        return ["undo"]
    return ["add", name, rng.random() * 50]


def perform(project: Project, op: list[Any]) -> None:
    """Do it through the ordinary operations."""
    kind, *rest = op
    category = project.queries.categories()[0]
    nose = category.definition_ids[0]
    if kind == "undo":
        project.undo()
    elif kind == "add":
        project.operations.add_instance(1, category.id, [NewKeypoint(nose, rest[1], 1.0)], source_id=rest[0])
    elif kind == "propose":
        proposals = [_proposal(i) for i in rest[0]]
        project.operations.add_keypoint_proposals(proposals, category.id)
    elif kind == "accept":
        project.operations.accept_proposals(image_ids=rest[0])
    else:
        instance = next(i for i in project.queries.iter_instances() if i.source_id == rest[0])
        if kind == "move":
            project.operations.move_keypoint(instance.keypoints[0].id, rest[1], 1.0)
        else:
            project.operations.remove_instances([instance.id])


def _proposal(image: int):  # type: ignore[no-untyped-def]
    # A nose that is never absent, so that its x is a fact to compare.
    for seed in range(100):
        proposal = keypoint_proposal(image, {"nose": 0.9}, seed=seed)
        if proposal.keypoints[0].visibility > 0:
            return proposal
    raise AssertionError("no seed gives a visible nose")


@dataclass
class Outcome:
    """What the rounds showed."""

    rounds: int = 0
    acknowledged: int = 0
    in_flight_kept: int = 0
    in_flight_lost: int = 0
    power_cuts: int = 0
    undone: int = 0
    failures: list[str] = field(default_factory=list)


def run_round(folder: Path, model: Model, rng: random.Random, outcome: Outcome, *, power_cut: bool) -> None:
    """One child, one kill, all checks."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            work_forever(folder, rng.getrandbits(40), writer)
        except BaseException as error:  # noqa: BLE001 - a child must never return into the parent's code
            os.write(writer, (json.dumps(["error", repr(error)]) + "\n").encode())
        os._exit(1)
    os.close(writer)
    lines = _Lines(reader)
    lines.wait_for_first()
    time.sleep(rng.uniform(0, 0.25))
    if power_cut:
        os.kill(child, signal.SIGSTOP)
        time.sleep(0.01)
        _check_power_cut(folder, model, lines.drain(), rng, outcome)
        os.kill(child, signal.SIGCONT)
        time.sleep(rng.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lines.drain()
    os.close(reader)
    outcome.rounds += 1
    in_flight = _replay(model, lines.read, outcome)
    _check(folder, model, in_flight, outcome)


class _Lines:
    """What came through the pipe so far."""

    def __init__(self, reader: int) -> None:
        self.reader, self.text = reader, b""

    def wait_for_first(self) -> None:
        if not select.select([self.reader], [], [], 60)[0]:
            raise TimeoutError("the child did not start")

    def drain(self) -> list[list[Any]]:
        while select.select([self.reader], [], [], 0)[0]:
            part = os.read(self.reader, 1 << 16)
            if not part:
                break
            self.text += part
        return self.read

    @property
    def read(self) -> list[list[Any]]:
        return [json.loads(line) for line in self.text.split(b"\n")[:-1]]


def _replay(model: Model, lines: list[list[Any]], outcome: Outcome) -> list[Any] | None:
    in_flight = None
    for line in lines:
        if line[0] == "error":
            outcome.failures.append(f"the child failed: {line[1]}")
        elif line[0] == "begin":
            in_flight = line[1]
        else:
            assert in_flight is not None
            model.apply(in_flight)
            outcome.acknowledged += 1
            in_flight = None
    return in_flight


def _check(folder: Path, model: Model, in_flight: list[Any] | None, outcome: Outcome) -> None:
    with Project.open(folder) as project:
        problems = project.check_integrity()
        if problems:
            outcome.failures.append(f"round {outcome.rounds}: {problems}")
        found = read_state(project)
        if found != model.now:
            after = deepcopy(model)
            if in_flight is not None:
                after.apply(in_flight)
            if found != after.now:
                outcome.failures.append(f"round {outcome.rounds}: the state is not that of the acknowledged operations")
            model.now, model.before = found, after.before
            outcome.in_flight_kept += 1
        elif in_flight is not None:
            outcome.in_flight_lost += 1
        if model.before and len(project.queries.history(3)) > 2:
            expected = model.before[-1]
            project.undo()
            if read_state(project) != expected:
                outcome.failures.append(f"round {outcome.rounds}: undo after the crash gave another state")
            project.redo()
            if read_state(project) != model.now:
                outcome.failures.append(f"round {outcome.rounds}: redo after the crash gave another state")
            outcome.undone += 1


def _check_power_cut(folder: Path, model: Model, lines: list[list[Any]], rng: random.Random, outcome: Outcome) -> None:
    """Copy the files as they are, spoil what is not committed, and compare with the acknowledged operations."""
    copy = folder.parent / "after-power-cut.kinmark"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in (DATABASE_NAME, DATABASE_NAME + "-wal"):
        if (folder / name).exists():
            shutil.copyfile(folder / name, copy / name)
    spoil_uncommitted(copy / (DATABASE_NAME + "-wal"), rng)
    expected = deepcopy(model)
    in_flight = _replay(expected, lines, Outcome())
    after = deepcopy(expected)
    if in_flight is not None:
        after.apply(in_flight)
    with Project.open(copy) as project:
        found = read_state(project)
        if found not in (expected.now, after.now) or project.check_integrity():
            outcome.failures.append(f"round {outcome.rounds}: an acknowledged operation is lost after a power cut")
    outcome.power_cuts += 1


def spoil_uncommitted(wal: Path, rng: random.Random) -> int:
    """Overwrite everything after the last commit frame of a write-ahead log with noise; returns how many bytes."""
    if not wal.exists() or wal.stat().st_size < 32:
        return 0
    data = bytearray(wal.read_bytes())
    page = struct.unpack(">I", data[8:12])[0]
    salt, at, committed = bytes(data[16:24]), 32, 32
    while at + 24 + page <= len(data) and bytes(data[at + 8 : at + 16]) == salt:
        commit = struct.unpack(">I", data[at + 4 : at + 8])[0]
        at += 24 + page
        if commit:
            committed = at
    end = rng.randint(committed, len(data))
    noise = rng.randbytes(end - committed)
    wal.write_bytes(bytes(data[:committed]) + noise)
    return len(noise)


def main(argv: list[str] | None = None) -> int:
    """Run the rounds; exit code 1 when any check failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    rng = random.Random(options.seed)
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "p.kinmark"
        make_project(folder, images=IMAGES).close()
        model = Model()
        for number in range(options.rounds):
            run_round(folder, model, rng, outcome, power_cut=number % 10 == 5)
            if number % 50 == 49:
                print(
                    f"{number + 1} rounds, {outcome.acknowledged} acknowledged, {len(outcome.failures)} failures",
                    flush=True,
                )
    result = asdict(outcome)
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
