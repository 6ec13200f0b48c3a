"""Parity of the conditional prompting module with the reference, incl. two Adam steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import rescale_corner_aligned
from kinmark.engine.prompts.cpm import ConditionalPromptModule, CPMConfig
from kinmark.engine.prompts.sequence import sequence_frame
from kinmark.engine.tuning.loss import correspondence_loss

CASES = ("Pair_DINO_Feat_G25_C50", "Img_DINO_Feat_G0_C50", "Pair_CLIP_Head_G25_C50", "Img_DINO_Head_G10_C20")


@pytest.fixture(scope="module")
def vectors(vectors_of) -> dict[str, torch.Tensor]:
    return vectors_of("sd4match_cpm")


@pytest.fixture(scope="module")
def names(reference_dir) -> dict[str, list[str]]:
    with np.load(reference_dir / "sd4match_cpm.npz") as data:
        return {k: [str(v) for v in data[k]] for k in ("pair_src", "pair_trg", "img_names")}


def _module(vectors: dict, case: str) -> ConditionalPromptModule:
    prefix = f"{case}_sd."
    state = {k.removeprefix(prefix): v for k, v in vectors.items() if k.startswith(prefix)}
    weight = state.get("linear_C.weight", state.get("linear.weight"))
    pair = case.startswith("Pair")
    module = ConditionalPromptModule(
        CPMConfig(
            patch_width=weight.shape[1] // (2 if pair else 1),
            width=64,
            pair=pair,
            pooled="Head" in case,
            global_tokens=state["global_embeds"].shape[1] if "global_embeds" in state else 0,
            conditional_tokens=state["alpha_cond"].shape[1],
        )
    )
    module.load_reference(state)
    return module


def _patches(vectors: dict, case: str, images: list[str]) -> torch.Tensor:
    if "CLIP" in case:
        return torch.cat([vectors[f"clip_image_embeds_{n}"] for n in images])
    if "Head" in case:
        return torch.cat([vectors[f"dino_pooler_{n}"] for n in images])
    return torch.cat([vectors[f"dino_last_hidden_{n}"][:, 1:] for n in images])


@pytest.mark.parametrize("case", CASES)
def test_module_output(tiny_sd: Backbone, vectors: dict, names: dict, case: str) -> None:
    module = _module(vectors, case)
    if case.startswith("Pair"):
        learned = module(_patches(vectors, case, names["pair_src"]), _patches(vectors, case, names["pair_trg"]))
    else:
        learned = module(_patches(vectors, case, names["img_names"]))
    sequence = sequence_frame(tiny_sd).assemble(learned)
    torch.testing.assert_close(sequence, vectors[f"{case}_token_embeds"], atol=1e-5, rtol=0)
    torch.testing.assert_close(tiny_sd.encode_tokens(sequence), vectors[f"{case}_prompt_embeds"], atol=1e-4, rtol=0)


def test_two_adam_steps(tiny_sd: Backbone, vectors: dict, names: dict) -> None:
    case = CASES[0]
    module, frame = _module(vectors, case), sequence_frame(tiny_sd)
    adam = torch.optim.Adam(module.parameter_groups(float(vectors["opt_lr"]), float(vectors["opt_lr_linear"])))
    latents = [
        tiny_sd.encode_latents(vectors[f"opt_{k}_image"].permute(0, 3, 1, 2).float() / 255 * 2 - 1)
        for k in ("src", "trg")
    ]
    xy = [
        torch.from_numpy(rescale_corner_aligned(vectors[f"opt_{k}_kps"], (192, 192), (12, 12))).float()
        for k in ("src", "trg")
    ]
    valid = torch.arange(20)[None] < vectors["opt_npts"][:, None]
    patches = [_patches(vectors, case, names[k]) for k in ("pair_src", "pair_trg")]
    for step in range(2):
        embeds = tiny_sd.encode_tokens(frame.assemble(module(*patches)))
        maps = [
            tiny_sd.unet_forward(tiny_sd.add_noise(z, vectors["opt_noise"][step, i], 261), 261, embeds).maps[1]
            for i, z in enumerate(latents)
        ]
        loss = correspondence_loss(maps[0], maps[1], xy[0], xy[1], valid)
        assert loss.item() == pytest.approx(float(vectors["opt_losses"][step]), rel=1e-4)
        adam.zero_grad()
        loss.backward()
        state = dict(module.named_parameters())
        if step == 0:
            for published, ours in module.REFERENCE_NAMES.items():
                if f"opt_grad_step0.{published}" in vectors:
                    expected = vectors[f"opt_grad_step0.{published}"]
                    torch.testing.assert_close(state[ours].grad, expected, atol=1e-6, rtol=2e-3)
        adam.step()
        for published, ours in module.REFERENCE_NAMES.items():
            if f"opt_step{step + 1}.{published}" in vectors:
                difference = (state[ours].detach() - vectors[f"opt_step{step + 1}.{published}"]).abs()
                assert (difference < 1e-4).float().mean() > 0.99, published


def test_wrong_conditions_are_refused() -> None:
    module = ConditionalPromptModule(CPMConfig(patch_width=8, width=16, patches=4, conditional_tokens=2))
    with pytest.raises(UserInputError, match="pairs of images"):
        module(torch.zeros(1, 4, 8))
    with pytest.raises(UserInputError, match="4 patch features of width 8"):
        module(torch.zeros(1, 4, 9), torch.zeros(1, 4, 9))
