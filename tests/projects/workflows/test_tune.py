"""Tuning from a project and on the command line, on the toy pipeline: refuse, keep, discard, propose again, prompts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kinmark.engine.api import EngineConfig, open_engine, open_prompts
from kinmark.engine.domain.errors import OperationCancelled, UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.projects.cli.app import run
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.kept import kept_jobs
from kinmark.projects.workflows.propose import propose
from kinmark.projects.workflows.propose_options import ProposeOptions
from kinmark.projects.workflows.tune import TuneOptions, Tuning, discard, options_of, pending_images, tune, work_dir
from tests.support.labelled import SCHEMA, draw_exemplar
from tests.support.toy_pipeline import make_toy_pipeline

QUICK = {"eval_every": 3, "batch": 2, "variants": 2, "view": "whole", "tokens": 4}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_pipeline(tmp_path_factory.mktemp("model") / "toy-sd")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with eight photos of cats; the first five are labelled, the others not."""
    photos = tmp_path / "photos"
    photos.mkdir()
    exemplars = [draw_exemplar(photos, n) for n in range(8)]
    with Project.create(tmp_path / "cats.kinmark") as project:
        [category] = project.operations.add_category("cat", SCHEMA).ids
        add_paths(project, [photos])
        ids = project.queries.category(category).definition_ids
        for exemplar in exemplars[:5]:
            image = project.queries.image_named(exemplar.image.path.name)
            points = zip(ids, exemplar.keypoints.xy_image, exemplar.keypoints.visibility, strict=True)
            keypoints = [NewKeypoint(d, float(x), float(y), int(v)) for d, (x, y), v in points]
            project.operations.add_instance(image.id, category, keypoints)
    return tmp_path / "cats.kinmark"


@pytest.fixture
def engine(folder: Path, tmp_path: Path):
    opened = open_engine(
        EngineConfig(
            device="cpu", dtype="fp32", cache_dir=tmp_path / "cache", prompt_dirs=(folder / "prompts",), threads=1
        )
    )
    yield opened
    opened.close()


def _options(model: Path, **changes) -> TuneOptions:
    fields = {"backbone": str(model), "steps": 4, "keep_if_worse": True, "settings": QUICK}
    return TuneOptions(**{**fields, **changes})


def test_tune_keeps_a_prompt_and_proposes_again(folder: Path, model: Path, engine) -> None:
    with Project.open(folder) as project:
        propose(project, engine, ProposeOptions(backbone=str(model)))
        category = project.queries.category("cat")
        pending = pending_images(project, category)
        assert len(pending) == 3
        before = {p.image_id: p.run_id for p in project.queries.proposals(category_id=category.id)}
        outcome = tune(project, engine, _options(model))
        assert outcome.result.kept and outcome.exemplars == 5
        assert outcome.card["category"] == "cat" and outcome.card["source"].startswith("tuned on")
        (again,) = outcome.proposed
        assert again.proposals == 3 and pending_images(project, category) == pending
        after = {p.image_id: p.run_id for p in project.queries.proposals(category_id=category.id)}
        assert all(after[i] != before[i] for i in before)
        spec = json.loads(project.queries.run(next(iter(after.values()))).spec)
        assert spec["prompt"] == outcome.result.prompt_id
        assert "tuned prompt" in project.undo_name
        discard(project, outcome.result.prompt_id)
        assert not open_prompts((project.prompts_dir,)).entries()


def test_refusals(folder: Path, model: Path, engine, tmp_path: Path) -> None:
    with Project.open(folder) as project:
        with pytest.raises(UserInputError, match="no kind of prompt"):
            tune(project, engine, _options(model, kind="best"))
        rows = project.queries.exemplar_instances(project.queries.category("cat").id)
        project.operations.remove_instances([row.id for row in rows[:3]])
        with pytest.raises(UserInputError, match=r"at least 3 .* cat has 2"):
            tune(project, engine, _options(model))
    with Project.create(tmp_path / "empty.kinmark") as project, pytest.raises(UserInputError, match="nothing to tune"):
        tune(project, engine, _options(model))


def test_single_prompt_over_several_categories(folder: Path, model: Path, engine, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    with Project.open(folder) as project:
        [dog] = project.operations.add_category("dog", SCHEMA).ids
        ids = project.queries.category(dog).definition_ids
        for number in range(20, 23):
            exemplar = draw_exemplar(more, number)
            add_paths(project, [exemplar.image.path])
            image = project.queries.image_named(exemplar.image.path.name)
            keypoints = [
                NewKeypoint(d, float(x), float(y)) for d, (x, y) in zip(ids, exemplar.keypoints.xy_image, strict=True)
            ]
            project.operations.add_instance(image.id, dog, keypoints)
        with pytest.raises(UserInputError, match="Which category"):
            tune(project, engine, _options(model))
        outcome = tune(project, engine, _options(model, kind="single", propose_again=False))
        assert outcome.exemplars == 8 and outcome.card["category"] == "" and outcome.card["kind"] == "single"


def test_tuning_that_was_cut_off_goes_on_from_its_last_step(folder: Path, model: Path, engine) -> None:
    with Project.open(folder) as project:
        tuning = Tuning(project, engine, _options(model, propose_again=False, steps=6))
        tuning.keep("a")
        while (point := tuning.step()) is None or point.step < 2:
            pass
        # More urgent work comes in between, through the same engine.
        propose(project, engine, ProposeOptions(backbone=str(model), image_ids=project.queries.image_ids()[-1:]))
        tuning.close()
        [kept] = kept_jobs(project)
        assert (kept.kind, kept.name, kept.total) == ("tune", "", 6) and kept.done >= 1
        again = Tuning(project, engine, options_of(kept))
        first = again.step()
        assert first.step == 3 and first.steps == 6
        again.keep("b")
        while again.left:
            again.step()
        assert again.outcome.result.steps == 6 and again.outcome.card is not None and kept_jobs(project) == ()


def test_cancelled_tuning_continues(folder: Path, model: Path, engine) -> None:
    token, seen = CancelToken(), []
    with Project.open(folder) as project:
        with pytest.raises(OperationCancelled):
            tune(
                project,
                engine,
                _options(model),
                cancel=token,
                on_step=lambda p: token.cancel() if p.step == 2 else None,
            )
        assert len(list(work_dir(project).iterdir())) == 1
        tune(project, engine, _options(model, propose_again=False), on_step=lambda p: seen.append(p.step))
        assert seen[0] == 3 and not list(work_dir(project).iterdir())


def test_command_line(folder: Path, model: Path, tmp_path: Path, capsys) -> None:
    arguments = [
        "tune",
        str(folder),
        "--backbone",
        str(model),
        "--steps",
        "4",
        "--keep-if-worse",
        "--json",
        "--device",
        "cpu",
    ]
    arguments += [part for name, value in QUICK.items() for part in ("--set", f"{name}={value}")]
    assert run(arguments) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["kept"] and data["steps"] == 4 and len(data["curve"]) == 4
    prompt = data["prompt"].removeprefix("prompt:")
    assert run(["prompts", "list", str(folder), "--json"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == [prompt]
    assert run(["prompts", "show", prompt[:12], "--project", str(folder)]) == 0
    assert "kind: class" in capsys.readouterr().out
    exported = tmp_path / "out.safetensors"
    assert run(["prompts", "export", prompt, str(exported), "--project", str(folder)]) == 0
    assert run(["prompts", "import", str(exported)]) == 0
    assert run(["prompts", "delete", prompt]) == 0
    assert run(["prompts", "delete", prompt]) == 3
    assert run(["prompts", "list", str(tmp_path)]) == 3
    capsys.readouterr()
    assert run(["tune", str(folder), "--backbone", str(model), "--steps", "2", "--set", "speed=9", "--json"]) == 3
    assert "no tuning option" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert run(["tune", str(folder), "--set", "nonsense"]) == 2


def test_optimise_through_propose(folder: Path, model: Path, engine) -> None:
    from kinmark.engine.api import MatchSettings

    extra = {"steps": 2, "restarts": 2, "target_crops": 4}
    with Project.open(folder) as project:
        options = ProposeOptions(
            backbone=str(model), only_keypoints=("tail",), settings=MatchSettings(pipeline="optimise", options=extra)
        )
        (outcome,) = propose(project, engine, options)
        assert outcome.proposals == 3 and outcome.keypoints == 3
        kept = open_prompts((project.prompts_dir,)).entries()
        assert [p.card.settings["keypoint"] for p in kept] == ["tail"]


def test_a_pair_prompt_serves_proposals(folder: Path, model: Path, engine) -> None:
    with Project.open(folder) as project:
        propose(project, engine, ProposeOptions(backbone=str(model)))
        outcome = tune(project, engine, _options(model, kind="conditional", settings={**QUICK, "condition": "pair"}))
        (again,) = outcome.proposed
        assert again.proposals == 3
        runs = {p.run_id for p in project.queries.proposals()}
        specs = {json.loads(project.queries.run(r).spec)["prompt"] for r in runs}
        # Every pair has its own prompt, named after the saved one and what both photos show.
        assert len(specs) == 3 and all(s.startswith(outcome.result.prompt_id + "@") for s in specs)
        assert np.isfinite([p.confidence for p in project.queries.proposals()]).all()


def test_a_pair_prompt_serves_free_matching(folder: Path, model: Path, engine) -> None:
    from kinmark.engine.api import MatchRequest, Target

    with Project.open(folder) as project:
        options = _options(model, kind="conditional", propose_again=False, settings={**QUICK, "condition": "pair"})
        prompt = tune(project, engine, options).result.prompt_id
        first, second = project.queries.images(limit=2)
    request = MatchRequest(
        "m", first.image_input, np.array([[20.0, 20.0]]), Target(second.image_input), backbone=str(model), prompt=prompt
    )
    result = engine.match(request)
    assert np.isfinite(result.points_xy_image).all() and result.spec.prompt.startswith(prompt + "@")


def test_command_line_says_both_figures(folder: Path, model: Path, capsys) -> None:
    arguments = ["tune", str(folder), "--backbone", str(model), "--steps", "2", "--keep-if-worse", "--device", "cpu"]
    arguments += [part for name, value in QUICK.items() for part in ("--set", f"{name}={value}")]
    assert run([*arguments, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    figures = data["proposals"]
    assert set(figures) >= {"before", "after", "before_interval", "after_interval", "gain_interval", "soft_after"}
    assert data["card"]["proposals"]["after"] == figures["after"] and data["better"] in (True, False)
    assert run([*arguments, "--set", "keep_by=score"]) == 0
    shown = capsys.readouterr().out
    assert "proposals:   before" in shown and "score alone: before" in shown
    assert run(["prompts", "list", str(folder)]) == 0
    assert "of the proposals" in capsys.readouterr().out
    assert run([*arguments, "--set", "keep_by=luck"]) == 3
