"""The slow, precise method for single hard points: optimise a prompt per exemplar point, then look where it attends.

Thread: the engine thread. One optimisation per exemplar point; its embedding is kept as a "point prompt" and serves every
target afterwards by inference alone (methods/point-optimisation.md).
"""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from kinmark.engine.domain.errors import UnreadableImageError, UserInputError
from kinmark.engine.domain.geometry import ImageTransform, apply_affine, expand_box, index_to_continuous
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.prompt_card import PromptCard, PromptFileError
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals, Peak
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.domain.texts import said
from kinmark.engine.features.views import CROP_MARGIN, ImageView, render_view, to_network
from kinmark.engine.matching.peaks import top_peaks
from kinmark.engine.matching.similarity import cell_centres_xy_image, inside_region, restrict
from kinmark.engine.prompts.attention_target import HedlinConfig
from kinmark.engine.prompts.files import list_prompts, make_id, read_tensors, save_prompt
from kinmark.engine.prompts.hedlin import locate, optimise_embedding
from kinmark.engine.requests import Exemplar, OptimiseRequest, ProposeRequest, Target, TargetFailure, exemplar_key

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession

AGREE_SHARE = 0.1
"""Restarts agree when their places lie within this share of the longer side of the view."""


@dataclass(frozen=True)
class PointOptions:
    """How `optimise_point` works, beside `HedlinConfig`.

    Attributes:
        view: "whole", "crop" (the instance's surroundings in exemplar and target) or "auto": crop when the exemplar has a
            box and every target has one.
        seed: of starts, crops and noises; batch: restarts or passes per forward (0 = what memory allows).
        keep: save optimised embeddings as point prompts; keep_in: folder (None = the first prompt folder).
        reuse: use a kept embedding of the same exemplar point and settings ("exemplar"), of any exemplar of the same
            keypoint ("any"), or none ("no").
        peaks: candidates per keypoint.
    """

    view: str = "auto"
    seed: int = 0
    batch: int = 0
    keep: bool = True
    keep_in: str | None = None
    reuse: str = "exemplar"
    peaks: int = 3


def read_options(given: dict[str, Any], defaults: HedlinConfig) -> tuple[PointOptions, HedlinConfig]:
    """Split a request's options; UserInputError for unknown names or impossible values."""
    point_names = {f.name for f in fields(PointOptions)}
    hedlin_names = {f.name for f in fields(HedlinConfig)}
    unknown = sorted(set(given) - point_names - hedlin_names)
    if unknown:
        known = ", ".join(sorted(point_names | hedlin_names))
        raise UserInputError(
            said("There is no option '{0}' for optimising a point.", unknown[0]), said("Known: {0}.", known)
        )
    options = PointOptions(**{k: v for k, v in given.items() if k in point_names})
    config = replace(defaults, **{k: v for k, v in given.items() if k in hedlin_names})
    config = replace(config, layers=tuple(config.layers))
    if options.view not in ("auto", "whole", "crop") or options.reuse not in ("exemplar", "any", "no"):
        raise UserInputError("view is 'auto', 'whole' or 'crop'; reuse is 'exemplar', 'any' or 'no'.")
    if config.steps < 1 or config.restarts < 1 or config.target_crops < 1 or not 0 < config.crop_share <= 1:
        raise UserInputError("steps, restarts and target_crops must be at least 1, crop_share between 0 and 1.")
    return options, config


def optimise_point(
    session: EngineSession,
    request: OptimiseRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[InstanceProposal | TargetFailure]:
    """Optimise the asked keypoints of the exemplar and find them on every target (one proposal per target).

    `confidence` is the share of restarts that agree with the joint place (not calibrated); peaks are relative to a
    uniform map, which is 1.

    Raises:
        UserInputError: a keypoint that the exemplar does not have, unknown options.
        UnreadableImageError: the exemplar. OutOfMemoryError, OperationCancelled.
    """
    with session.guarded():
        job = _PointJob(session, request, progress, cancel)
        if progress is not None:
            steps = job.config.steps * len(request.keypoints)
            progress.start("Optimising points", steps + len(request.targets) * len(request.keypoints))
        embeds = {k: job.embedding(k) for k in request.keypoints}
    for target in request.targets:
        try:
            with session.guarded():
                proposal = job.propose(target, embeds)
        except UnreadableImageError as error:
            yield TargetFailure(target.image.image_id, error)
            continue
        yield proposal


class _PointJob:
    """What the points of one request share."""

    def __init__(
        self, session: EngineSession, request: OptimiseRequest, progress: Progress | None, cancel: CancelToken | None
    ) -> None:
        self.session, self.request, self.progress, self.cancel = session, request, progress, cancel
        self.backbone = session.backbone(request.backbone)
        spec = self.backbone.spec
        # The map is 512 as published, or the input itself where that is smaller; the card may know better settings.
        defaults = replace(HedlinConfig(), **spec.extra.get("hedlin", {})).for_map(min(512, spec.input_wh[0]))
        self.options, self.config = read_options(request.options, defaults)
        keypoints = request.exemplar.keypoints
        for index in request.keypoints:
            if not 0 <= index < len(request.schema) or not keypoints.labelled[index]:
                name = request.schema.names[index] if 0 <= index < len(request.schema) else str(index)
                raise UserInputError(
                    said("The keypoint '{0}' is not labelled on {1}.", name, request.exemplar.image.path.name),
                    "Place it there first, or choose another exemplar.",
                )
        self.crop = self._crops()
        self.view = self._view(request.exemplar.image, keypoints.box_or_extent() if self.crop else None)

    def _crops(self) -> bool:
        if self.options.view != "auto":
            return self.options.view == "crop"
        return self.request.exemplar.keypoints.box is not None and all(t.box for t in self.request.targets)

    def _view(self, image: Any, box: Any) -> ImageView:
        width, height = self.session.source.size_wh(image)
        region = expand_box(box, margin=CROP_MARGIN, square=True) if box else (0.0, 0.0, float(width), float(height))
        return ImageView(image, ImageTransform.crop(region, self.backbone.spec.input_wh))

    def _picture(self, view: ImageView) -> Tensor:
        """`[3, H, W]` in [-1, 1]."""
        size = self.session.source.size_wh(view.image)
        return to_network(render_view(view, size, self.session.source)[None])[0]

    def _run(self, work: Any) -> Any:
        """`work(batch)` on the memory ladder; the asked batch bounds it from above."""
        ladder = self.session.ladder(self.request.backbone)
        limit = self.options.batch

        def bounded(batch: int) -> Any:
            return work(min(batch, limit) if limit else batch)

        return ladder.run(bounded, progress=self.progress, cancel=self.cancel)

    # ---- embeddings ------------------------------------------------------------------------------------------

    def job_id(self, keypoint: int) -> str:
        """Names the optimisation: same exemplar point, view, weights and settings give the same embedding."""
        data = [
            exemplar_key(self.request.exemplar),
            keypoint,
            self.backbone.revision,
            self.view.key(),
            self.options.seed,
            asdict(self.config),
        ]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:20]

    def embedding(self, keypoint: int) -> Tensor:
        """`[R, T, D]` of one exemplar point: kept from before, or optimised now."""
        kept = self._kept(keypoint)
        if kept is not None:
            if self.progress is not None:
                self.progress.step(
                    self.config.steps, note=said("{0}: kept point prompt", self.request.schema.names[keypoint])
                )
            return kept
        point = self.request.exemplar.keypoints.xy_image[keypoint]
        x, y = (float(v) for v in apply_affine(self.view.transform.matrix, point))
        picture, start = self._picture(self.view), time.monotonic()
        done = 0

        def on_step(step: int, loss: float) -> None:
            nonlocal done
            if self.progress is not None and step > done:
                done = step
                self.progress.step(note=said("{0}: loss {1}", self.request.schema.names[keypoint], f"{loss:.4f}"))

        result = self._run(
            lambda batch: optimise_embedding(
                self.backbone,
                picture,
                (x, y),
                self.config,
                seed=self.options.seed,
                batch=batch,
                cancel=self.cancel,
                on_step=on_step,
            )
        )
        if self.progress is not None and done < self.config.steps:
            self.progress.step(self.config.steps - done)
        embeds = result.embeds.float().cpu()
        if self.options.keep:
            self._keep(keypoint, embeds, float(result.losses.mean()), time.monotonic() - start)
        return embeds

    def _kept(self, keypoint: int) -> Tensor | None:
        if self.options.reuse == "no":
            return None
        name, wanted = self.request.schema.names[keypoint], self.job_id(keypoint)
        for path, card in list_prompts(self._folders()):
            if card.kind != "point" or card.revision != self.backbone.revision:
                continue
            same_job = card.settings.get("job") == wanted
            same_name = card.category == self.request.category and card.settings.get("keypoint") == name
            if same_job or (self.options.reuse == "any" and same_name):
                try:
                    return read_tensors(path)["embeds"]
                except (PromptFileError, KeyError):
                    continue
        return None

    def _folders(self) -> tuple[Path, ...]:
        own = (Path(self.options.keep_in),) if self.options.keep_in else ()
        return (*own, *self.session.prompt_dirs)

    def _keep(self, keypoint: int, embeds: Tensor, loss: float, seconds: float) -> None:
        request, tensors = self.request, {"embeds": embeds}
        name = request.schema.names[keypoint]
        card = PromptCard(
            id=make_id("point", f"{request.category} {name}", tensors),
            kind="point",
            category=request.category,
            backbone=self.backbone.spec.id,
            revision=self.backbone.revision,
            tokens=int(embeds.shape[1]),
            width=int(embeds.shape[2]),
            timestep=self.config.timesteps(int(self.backbone.scheduler.config.num_train_timesteps))[0],
            input_wh=self.backbone.spec.input_wh,
            source=f"optimised for '{name}' on {request.exemplar.image.image_id}",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            images=(request.exemplar.image.image_id,),
            steps=self.config.steps,
            seconds=round(seconds, 1),
            seed=self.options.seed,
            settings={
                "job": self.job_id(keypoint),
                "keypoint": name,
                "loss": loss,
                "crop": self.crop,
                "hedlin": asdict(self.config),
            },
        )
        save_prompt(self._folders()[0], card, tensors)

    # ---- targets ---------------------------------------------------------------------------------------------

    def propose(self, target: Target, embeds: dict[int, Tensor]) -> InstanceProposal:
        """All asked keypoints on one target."""
        start = time.monotonic()
        view = self._view(target.image, target.box if self.crop else None)
        picture = self._picture(view)
        found = []
        for keypoint, embed in embeds.items():
            found.append(self._find(keypoint, embed, target, view, picture))
            if self.progress is not None:
                self.progress.step(note=target.image.image_id)
        request = self.request
        return InstanceProposal(
            request_id=request.request_id,
            image_id=target.image.image_id,
            category=request.category,
            keypoints=tuple(found),
            confidence=float(np.mean([k.confidence for k in found])),
            box=target.box,
            spec=self.run_spec(),
            exemplar_ids=(request.exemplar.image.image_id,),
            seconds=time.monotonic() - start,
        )

    def run_spec(self) -> RunSpec:
        """Provenance of the proposals."""
        settings = {"hedlin": json.loads(json.dumps(asdict(self.config))), "crop": self.crop}
        return RunSpec(
            "optimise",
            self.backbone.spec.id,
            self.backbone.revision,
            prompt="point",
            timestep=self.config.timesteps(int(self.backbone.scheduler.config.num_train_timesteps))[1],
            input_wh=self.backbone.spec.input_wh,
            seed=self.options.seed,
            settings=settings,
        )

    def _find(
        self, keypoint: int, embeds: Tensor, target: Target, view: ImageView, picture: Tensor
    ) -> KeypointProposal:
        fused, places = self._run(
            lambda batch: locate(
                self.backbone, picture, embeds, self.config, seed=self.options.seed, batch=batch, cancel=self.cancel
            )
        )
        height, width = fused.shape
        image_wh = self.session.source.size_wh(target.image)
        mask = torch.from_numpy(target.mask.decode()) if target.mask is not None else None
        centres = cell_centres_xy_image(view.transform, (width, height))
        maps = restrict(
            fused[None] * fused.numel(), inside_region(centres, box=target.box, mask=mask, image_wh=image_wh)
        )
        side = max(height, width)
        peaks = top_peaks(maps, k=self.options.peaks, radius_cells=max(1, round(side * AGREE_SHARE / 2)))
        xy = view.transform.from_feature(peaks.xy[0].double().numpy(), (width, height))
        kept = [i for i in range(len(xy)) if bool(torch.isfinite(peaks.score[0, i]))]
        candidates = tuple(Peak(float(xy[i, 0]), float(xy[i, 1]), float(peaks.score[0, i])) for i in kept)
        best = torch.from_numpy(index_to_continuous(peaks.xy[0, 0].double().numpy()))
        distance = (places - best).norm(dim=-1)
        agreement = float((distance <= AGREE_SHARE * side).float().mean())
        signals = KeypointSignals(candidates[0].score, float(peaks.margin[0]), agreement=agreement)
        return KeypointProposal(
            self.request.schema.names[keypoint],
            candidates[0].x,
            candidates[0].y,
            agreement,
            Visibility.VISIBLE,
            signals,
            candidates,
        )


def propose_optimised(
    session: EngineSession,
    request: ProposeRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[InstanceProposal | TargetFailure]:
    """Each wanted keypoint is optimised on the exemplar that shows most of them and found on every target.

    `request.settings.options` go to `optimise_point` as its options.
    """
    wanted = list(range(len(request.schema)) if request.only_keypoints is None else request.only_keypoints)
    groups = _by_exemplar(request, wanted)
    if not groups:
        raise UserInputError(
            said("No accepted '{0}' shows the wanted keypoints.", request.category), "Place them on one photo first."
        )
    collected: dict[str, list[InstanceProposal]] = {}
    failures: dict[str, TargetFailure] = {}
    for exemplar, keypoints in groups:
        job = OptimiseRequest(
            request.request_id,
            exemplar,
            request.schema,
            tuple(keypoints),
            request.targets,
            request.category,
            request.backbone,
            dict(request.settings.options),
        )
        for answer in optimise_point(session, job, progress=progress, cancel=cancel):
            if isinstance(answer, TargetFailure):
                failures[answer.image_id] = answer
            else:
                collected.setdefault(answer.image_id, []).append(answer)
    for target in request.targets:
        name = target.image.image_id
        if name in collected:
            yield _merged(collected[name])
        elif name in failures:
            yield failures[name]


def _by_exemplar(request: ProposeRequest, wanted: list[int]) -> list[tuple[Exemplar, list[int]]]:
    """Greedy: the exemplar with most of the remaining keypoints visible, until all are served."""
    groups: list[tuple[Exemplar, list[int]]] = []
    left = list(wanted)
    while left:
        counts = [int(np.count_nonzero(e.keypoints.labelled[left])) for e in request.exemplars]
        if not counts or max(counts) == 0:
            break
        best = request.exemplars[int(np.argmax(counts))]
        here = [k for k in left if best.keypoints.labelled[k]]
        groups.append((best, here))
        left = [k for k in left if k not in here]
    return groups


def _merged(parts: list[InstanceProposal]) -> InstanceProposal:
    keypoints = tuple(k for part in parts for k in part.keypoints)
    return replace(
        parts[0],
        keypoints=keypoints,
        confidence=float(np.mean([k.confidence for k in keypoints])),
        exemplar_ids=tuple(dict.fromkeys(i for part in parts for i in part.exemplar_ids)),
        seconds=sum(part.seconds for part in parts),
    )
