"""Fuzz Kinmark's readers: `python -m tests.fuzz.run [--rounds N] [--target NAME] [--seed S] [--json FILE]`.

Each round damages one file of a good folder and opens the folder. A finding is anything but an AppError, a round over 5 s of
processor time (60 s by the clock), or a process that grew by more than 1 GB. `--target NAME --only SEED` repeats one round.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

from kinmark.engine.domain.errors import AppError, BugError
from tests.fuzz.mutate import mutation_for
from tests.fuzz.targets import TARGETS, Target

TIME_LIMIT_S = 5.0
MEMORY_LIMIT_MB = 1024
HARD_LIMIT_S = 60.0
BATCH = 250


@dataclass(frozen=True)
class Finding:
    """One round that went wrong."""

    target: str
    seed: int
    file: str
    kind: str
    detail: str


def damage(target: Target, good: Path, work: Path, seed: int) -> str:
    """Copy the good folder to `work` and damage one file of it; returns the file's name."""
    rng = random.Random(seed)
    shutil.copytree(good, work, symlinks=True)
    files = sorted(p for p in work.glob(target.files) if p.is_file())
    file = rng.choice(files)
    mutation = mutation_for(file.name, rng)
    data = file.read_bytes()
    try:
        file.write_bytes(mutation(data, rng))
    except (ValueError, UnicodeEncodeError):
        file.write_bytes(data[: len(data) // 2])
    return file.relative_to(work).as_posix()


def run_round(target: Target, good: Path, scratch: Path, seed: int) -> tuple[str, Finding | None]:
    """("ok" | "refused" | "finding", the finding)."""
    work = scratch / f"{target.name}-{seed}"
    file = damage(target, good, work, seed)
    start, outcome, finding = time.process_time(), "ok", None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.open_(work)
    except BugError as error:
        finding = Finding(target.name, seed, file, "BugError", str(error))
    except AppError:
        outcome = "refused"
    except BaseException as error:  # noqa: BLE001 - anything else is what we look for
        detail = "".join(traceback.format_exception(error)[-4:])
        finding = Finding(target.name, seed, file, type(error).__name__, detail[-1500:])
    taken = time.process_time() - start  # of this process: a busy machine is no finding
    if finding is None and taken > TIME_LIMIT_S:
        finding = Finding(target.name, seed, file, "slow", f"{taken:.1f} s")
    shutil.rmtree(work, ignore_errors=True)
    return ("finding" if finding else outcome), finding


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _worker(name: str, good: str, seeds: list[int], pipe) -> None:
    """Child process: run the rounds and send one message for each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    target = next(t for t in TARGETS if t.name == name)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["KINMARK_HOME"] = scratch + "/home"
        try:  # the libraries and a good round first: what they take is no finding
            shutil.copytree(good, Path(scratch) / "good")
            target.open_(Path(scratch) / "good")
        except AppError:
            pass
        base = _memory_mb()
        for seed in seeds:
            pipe.send(("start", seed, ""))
            outcome, finding = run_round(target, Path(good), Path(scratch), seed)
            grown = _memory_mb() - base
            if finding is None and grown > MEMORY_LIMIT_MB:
                outcome, finding = "finding", Finding(name, seed, "", "memory", f"grew by {grown:.0f} MB")
                base += grown
            pipe.send((outcome, seed, asdict(finding) if finding else None))
    pipe.close()


def run_batch(target: Target, good: Path, seeds: list[int], counts: dict[str, int]) -> list[Finding]:
    """Run `seeds` in a child process; a child that dies or hangs is a finding, the rest goes on in another child."""
    findings: list[Finding] = []
    context = multiprocessing.get_context("spawn")
    left = list(seeds)
    while left:
        mine, theirs = context.Pipe()
        child = context.Process(target=_worker, args=(target.name, str(good), left, theirs))
        child.start()
        theirs.close()
        current = left[0]
        try:
            while True:
                if not mine.poll(HARD_LIMIT_S * (3 if target.slow else 1)):
                    findings.append(Finding(target.name, current, "", "hang", f"no answer for {HARD_LIMIT_S} s"))
                    child.kill()
                    left.remove(current)
                    break
                outcome, current, data = mine.recv()
                if outcome == "start":
                    continue
                counts[outcome] = counts.get(outcome, 0) + 1
                left.remove(current)
                if data:
                    findings.append(Finding(**data))
        except EOFError:
            child.join()
            if left:
                findings.append(Finding(target.name, current, "", "crash", f"the process ended with {child.exitcode}"))
                left = [s for s in left if s != current]
        child.join()
    return findings


def main(argv: list[str] | None = None) -> int:
    """Run, print a table, write JSON; exit 1 when there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000, help="of all targets together")
    parser.add_argument("--target", action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="repeat this one round in this process")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    chosen = [t for t in TARGETS if not options.target or t.name in options.target]
    total = sum(t.weight for t in chosen)
    rows, findings = [], []
    with tempfile.TemporaryDirectory() as folder:
        for target in chosen:
            good = Path(folder) / target.name
            target.make(good)
            if options.only is not None:
                print(run_round(target, good, Path(folder) / "scratch", options.only))
                continue
            rounds = max(1, round(options.rounds * target.weight / total))
            counts: dict[str, int] = {}
            start = time.monotonic()
            for first in range(0, rounds, BATCH):
                seeds = [options.seed + first + i for i in range(min(BATCH, rounds - first))]
                found = run_batch(target, good, seeds, counts)
                findings += found
                for finding in found:
                    print(
                        f"  {finding.target} seed {finding.seed} {finding.file}: {finding.kind}\n{finding.detail}",
                        flush=True,
                    )
            row = {"target": target.name, "rounds": rounds, "seconds": round(time.monotonic() - start, 1), **counts}
            rows.append(row)
            print(row, flush=True)
    print(f"{sum(r['rounds'] for r in rows)} rounds, {len(findings)} findings")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "findings": [asdict(f) for f in findings]}, indent=1))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
