"""Parity of learned prompts with the reference: assembly, hidden states, gradients and Adam steps."""

from __future__ import annotations

import pytest
import torch

from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import rescale_corner_aligned
from kinmark.engine.prompts.sequence import init_tokens, sequence_frame
from kinmark.engine.tuning.loss import correspondence_loss


@pytest.fixture(scope="module")
def vectors(vectors_of) -> dict[str, torch.Tensor]:
    return vectors_of("sd4match_prompt")


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ("single_param0", "single_{}_cat-a1"),
        ("class_param0", "class_{}_cat-a1"),
        ("class_param1", "class_{}_dog-b2"),
        ("single20_param0", "single20_{}_cat-a1"),
    ],
)
def test_sequence_and_hidden_states(tiny_sd: Backbone, vectors: dict, parameter: str, name: str) -> None:
    sequence = sequence_frame(tiny_sd).assemble(vectors[parameter])
    torch.testing.assert_close(sequence, vectors[name.format("token_embeds")], atol=1e-6, rtol=0)
    hidden = tiny_sd.encode_tokens(sequence)
    torch.testing.assert_close(hidden, vectors[name.format("hidden")], atol=1e-4, rtol=0)


def _features(backbone: Backbone, latents: torch.Tensor, noise: torch.Tensor, embeds: torch.Tensor) -> torch.Tensor:
    return backbone.unet_forward(backbone.add_noise(latents, noise, 261), 261, embeds).maps[1]


def test_three_adam_steps(tiny_sd: Backbone, vectors: dict) -> None:
    parameter = vectors["opt_param_step0"].clone().requires_grad_()
    adam = torch.optim.Adam([parameter], lr=float(vectors["opt_lr"]))
    frame = sequence_frame(tiny_sd)
    xy = [
        torch.from_numpy(rescale_corner_aligned(vectors[f"opt_{k}_kps"], (192, 192), (12, 12))).float()
        for k in ("src", "trg")
    ]
    valid = torch.arange(xy[0].shape[1])[None] < vectors["opt_npts"][:, None]
    for k in ("src", "trg"):
        image = vectors[f"opt_{k}_image"].permute(2, 0, 1)[None].float() / 255 * 2 - 1
        torch.testing.assert_close(tiny_sd.encode_latents(image), vectors[f"opt_{k}_latents"], atol=1e-4, rtol=0)
    for step in range(3):
        embeds = tiny_sd.encode_tokens(frame.assemble(parameter))
        noise = vectors["opt_noise"][step]
        src = _features(tiny_sd, vectors["opt_src_latents"], noise[0], embeds)
        tgt = _features(tiny_sd, vectors["opt_trg_latents"], noise[1], embeds)
        loss = correspondence_loss(src, tgt, xy[0], xy[1], valid)
        assert loss.item() == pytest.approx(float(vectors["opt_losses"][step]), rel=1e-4)
        adam.zero_grad()
        loss.backward()
        if step == 0:
            torch.testing.assert_close(src.detach(), vectors["opt_src_feat_step0"], atol=1e-4, rtol=0)
            torch.testing.assert_close(parameter.grad, vectors["opt_grad_step0"], atol=1e-6, rtol=1e-3)
        adam.step()
        difference = (parameter.detach() - vectors[f"opt_param_step{step + 1}"]).abs()
        # Adam's first steps are lr * sign(gradient): entries whose gradient is rounding noise may differ.
        assert (difference < 1e-4).float().mean() > 0.999


def test_a_prompt_that_does_not_fit_is_refused(tiny_sd: Backbone) -> None:
    frame = sequence_frame(tiny_sd)
    with pytest.raises(UserInputError, match="does not fit"):
        frame.assemble(torch.zeros(1, 76, 64))
    with pytest.raises(UserInputError, match="does not fit"):
        frame.assemble(torch.zeros(1, 10, 63))


def test_initial_tokens_of_a_text_are_its_embeddings(tiny_sd: Backbone) -> None:
    frame = sequence_frame(tiny_sd)
    words = tiny_sd.tokenizer("a photo of a cat").input_ids[1:-1]
    initial = init_tokens(tiny_sd, len(words), text="a photo of a cat")
    direct = tiny_sd.token_embedding(torch.tensor([[tiny_sd.tokenizer.bos_token_id, *words]]))[:, 1:]
    torch.testing.assert_close(initial, direct)
    other = init_tokens(tiny_sd, 20, seed=1)
    assert other.shape == (1, 20, frame.width) and not torch.equal(other, init_tokens(tiny_sd, 20, seed=2))
