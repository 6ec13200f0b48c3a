"""Settings of prompt tuning: typed, with the published values beside the ones for 5 to 500 labelled instances."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from kinmark.engine.backbones.registry import BackboneSpec, fitted_for
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.requests import TuneRequest, exemplar_key
from kinmark.engine.tuning.loss import LossConfig

KINDS = ("single", "class", "hidden", "conditional")
MIN_INSTANCES = 3

_COMMON: dict[str, Any] = {"every_pair": True, "batch": 2, "fused_loss": True, "select_views": 3}
_DIRECT: dict[str, Any] = {**_COMMON, "direct": True}
FOR_BACKBONE: dict[str, dict[str, dict[str, Any]]] = {
    # Measured (docs/lab/tuning.md): the small causal text encoder blurs all tokens into one, so that what passes it moves
    # nothing; behind it the same kinds gain. Few views and every pair of them are the cheapest steps on a CPU.
    "embedded": {
        "single": {**_DIRECT, "lr": 0.3},
        "class": {**_DIRECT, "lr": 0.3},
        "conditional": {**_DIRECT, "strength": 30.0},
        "hidden": {**_COMMON, "lr": 0.3},
    },
}
"""Options of a kind of prompt that replace the published ones on a backbone; a card's `extra.tuning` has precedence."""


@dataclass(frozen=True)
class TuningOptions:
    """How a prompt is tuned (methods/prompts.md). None = chosen from the backbone and the number of instances.

    Attributes:
        tokens: learnable tokens L of single and class prompts.
        init: "template" (the card's text for the category, exactly), "words" (its words repeated) or "random" (published).
        condition: "pair" or "image" (conditional); global_tokens, conditional_tokens: G and C.
        patches: "backbone" or "dino:<folder>": where a conditional prompt's patch features come from.
        lr, lr_linear: of Adam, constant; linear layers of the conditional module use the second.
        strength: how much the difference to the starting prompt counts (single, class, conditional): 1 = published; more for
            backbones that hardly listen to their prompt.
        direct: what is learned (single, class, conditional) is added to the text's hidden states instead of passing the text
            encoder (the direct variant of methods/prompts.md): starts at the text exactly, for text encoders that blur tokens.
        batch: pairs per step; both_directions: count each pair both ways; every_pair: every two views of a step on
            different photos are a pair, not only those that were drawn (not for prompts made for a pair).
        augment: share of training views that are mirrored, turned, shifted and recoloured; variants: views per instance.
        timestep: None = the card's (published: 261 in training); seed is the request's.
        through: what the loss goes through: "score" (published: every pair for itself on the plain score) or "proposals"
            (whitened features, the other views of a step joined, their shape, crops where proposals are made in crops).
        fused_loss: train on the similarity that the app uses (with the second descriptor) instead of the diffusion part.
        view: "whole", "crop" or "auto" (crops where instances are small in their photos).
        report_images: ids of images that serve the reported figures alone (a project's test split).
        heldout_share: of the (other) images; eval_every: steps; patience: evaluations without a better one before stopping.
        select_by: which figure of the held-out images chooses the best step: "soft" (how near, without the steps of PCK:
            a few photos cannot tell prompts apart by it), "pck" (published), or "proposals" ("soft" of what is proposed).
        select_views: views of each held-out image that choose the step (plain, then mirrored, turned, recoloured).
        average: decay per step of the moving average that is evaluated and kept (0 = the prompt itself, published).
        propose: measure what is proposed, too (False: the score alone, which must then decide).
        keep_by: which figure decides whether the prompt is better: "proposals" (what a sweep proposes on the held-out images
            from the teaching ones) or "score" (published criterion: the nearest cell of the fused score).
        keep_errors: the gain of the proposals must lie so many standard errors over images above `min_gain` (2: the 95 %
            interval says that something was gained; what gains nothing must not be taken by itself).
        min_gain: what the new prompt must gain on the held-out images to be kept.
        sources: exemplars that each held-out image is matched from (0 = all).
        eval_method: "nn" (published criterion) or another matching method.
        checkpointing: gradient checkpointing (None = only after memory ran out).
        weight_decay_to_start: pull towards the initial value per step (regularises very small sets).
    """

    tokens: int = 75
    init: str = ""
    condition: str = "pair"
    global_tokens: int = 25
    conditional_tokens: int = 50
    patches: str = "backbone"
    lr: float = 0.01
    lr_linear: float = 0.001
    strength: float = 1.0
    direct: bool = False
    batch: int = 3
    both_directions: bool = True
    every_pair: bool = False
    augment: float = 0.75
    variants: int = 8
    timestep: int | None = None
    through: str = "score"
    fused_loss: bool = False
    view: str = "auto"
    report_images: tuple[str, ...] = ()
    heldout_share: float = 0.3
    eval_every: int = 20
    patience: int = 6
    select_by: str = "soft"
    select_views: int = 1
    average: float = 0.0
    propose: bool = True
    keep_by: str = "proposals"
    keep_errors: float = 2.0
    min_gain: float = 0.0
    sources: int = 0
    eval_method: str = "nn"
    checkpointing: bool | None = None
    weight_decay_to_start: float = 0.0
    loss: LossConfig = LossConfig()

    @staticmethod
    def from_request(request: TuneRequest, spec: BackboneSpec | None = None) -> TuningOptions:
        """The request's `options` over what suits the backbone; UserInputError for unknown names or impossible values."""
        if request.kind not in KINDS:
            raise UserInputError(
                said("'{0}' is no kind of prompt.", request.kind), said("Use one of {0}.", ", ".join(KINDS))
            )
        known = {f.name: f for f in fields(TuningOptions)}
        suited: dict[str, Any] = {}
        if spec is not None:
            suited |= FOR_BACKBONE.get(fitted_for(spec.id), {}).get(request.kind, {})
            suited |= dict(spec.extra.get("tuning", {}).get(request.kind, {}))
        given = {**suited, **request.options}
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise UserInputError(
                said("There is no tuning option '{0}'.", unknown[0]), said("Known: {0}.", ", ".join(sorted(known)))
            )
        if isinstance(given.get("loss"), dict):
            given["loss"] = LossConfig(**given["loss"])
        options = TuningOptions(**given)
        if isinstance(given.get("report_images"), list):
            options = replace(options, report_images=tuple(options.report_images))
        if not options.init:
            options = replace(options, init="random" if request.kind == "single" else "template")
        options.check()
        return options

    def check(self) -> None:
        """UserInputError for values that cannot work."""
        if self.init not in ("template", "words", "random"):
            raise UserInputError(said("'{0}' is no initial value.", self.init), "Use template, words or random.")
        if self.condition not in ("pair", "image") or self.view not in ("auto", "whole", "crop"):
            raise UserInputError("condition is 'pair' or 'image'; view is 'auto', 'whole' or 'crop'.")
        if self.select_by not in ("soft", "pck", "proposals"):
            raise UserInputError("select_by is 'soft', 'pck' or 'proposals'.")
        if self.through not in ("score", "proposals"):
            raise UserInputError("through is 'score' or 'proposals'.")
        if self.keep_by not in ("proposals", "score") or self.keep_errors < 0:
            raise UserInputError("keep_by is 'proposals' or 'score'; keep_errors is not negative.")
        if not self.propose and "proposals" in (self.keep_by, self.select_by, self.through):
            raise UserInputError("Without measuring proposals, keep_by, select_by and through cannot be 'proposals'.")
        if not 0 <= self.average < 1 or not 1 <= self.select_views <= self.variants:
            raise UserInputError("average lies between 0 and 1; select_views between 1 and variants.")
        positive = ("tokens", "lr", "batch", "variants", "eval_every", "patience", "conditional_tokens")
        bad = [name for name in positive if getattr(self, name) <= 0]
        if bad or not 0 < self.heldout_share < 1 or not 0 <= self.augment <= 1:
            raise UserInputError(
                said("The tuning option {0} is out of range.", (bad or ["heldout_share or augment"])[0])
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, for the card."""
        return asdict(self)


def default_steps(pairs: int, batch: int) -> int:
    """Steps when nothing is asked for: at least 120, at most 600, otherwise 20 times over the pairs."""
    return int(min(600, max(120, 20 * pairs / max(batch, 1))))


def request_fingerprint(request: TuneRequest, options: TuningOptions, revision: str) -> str:
    """Names the job: an unfinished run in `work_dir` is continued only if this is the same."""
    data = {
        "category": request.category,
        "kind": request.kind,
        "backbone": request.backbone,
        "revision": revision,
        "seed": request.seed,
        "steps": request.steps,
        "epochs": request.epochs,
        "schema": list(request.schema.names),
        "pairs": [list(p) for p in request.schema.pairs],
        "options": options.to_dict(),
        "exemplars": [exemplar_key(e) for e in request.exemplars],
    }
    if "proposals" in (options.through, options.select_by):
        # What proposals look like depends on these, too; otherwise they decide only whether the result is kept.
        data["collection"] = [[image.image_id, image.sha256] for image in request.collection]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:20]
