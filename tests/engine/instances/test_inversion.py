"""DDIM inversion and generation on the reference pipeline's real U-Net."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from kinmark.engine.domain.errors import OperationCancelled, UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.instances.inversion import generate, invert, noise_schedule, to_epsilon


@pytest.fixture(scope="module")
def reference(reference_dir):
    with np.load(reference_dir / "pdm_features.npz", allow_pickle=False) as data:
        vectors = {k: torch.from_numpy(data[k]) for k in data.files if data[k].dtype.kind in "fi"}
    unet = UNet2DConditionModel.from_pretrained(reference_dir / "tiny-sd" / "unet", low_cpu_mem_usage=False).eval()
    scheduler = DDIMScheduler.from_pretrained(reference_dir / "tiny-sd" / "scheduler")
    return vectors, unet, scheduler


def test_inversion_and_generation_equal_the_reference(reference):
    vectors, unet, scheduler = reference
    embeds = vectors["prompt_embeds"].expand(2, -1, -1)

    def predict(x, t):
        return unet(x, t, embeds).sample

    steps = noise_schedule(scheduler, int(vectors["num_inference_steps"]))
    assert [s.timestep for s in steps] == vectors["invert_timesteps"].tolist()
    seen = {}
    both = torch.cat([vectors["ref_latents"], vectors["tgt_latents"]])
    inverted = invert(predict, both, steps, on_step=lambda i, x: seen.__setitem__(i, x))
    for index, which in enumerate(("ref", "tgt")):
        for step in (0, 4):
            stored = vectors[f"{which}_inverted_step{step}"][0]
            np.testing.assert_allclose(seen[step][index].numpy(), stored.numpy(), atol=1e-4)
        np.testing.assert_allclose(inverted[index].numpy(), vectors[f"{which}_inverted_latents"][0].numpy(), atol=1e-4)
    again = generate(predict, inverted, steps)
    np.testing.assert_allclose(again[0].numpy(), vectors["ref_recon_latents"][0].numpy(), atol=1e-4)


def test_schedules_and_prediction_types():
    scheduler = DDIMScheduler(steps_offset=1, set_alpha_to_one=False)
    assert [s.timestep for s in noise_schedule(scheduler, 4)] == [1, 251, 501, 751]
    assert [s.timestep for s in noise_schedule(scheduler, 4, spacing="trailing")] == [249, 499, 749, 999]
    assert noise_schedule(scheduler, 4)[0].alpha_low == pytest.approx(float(scheduler.alphas_cumprod[0]))
    with pytest.raises(UserInputError, match="steps"):
        noise_schedule(scheduler, 0)
    clean, noise, alpha = torch.randn(2, 3), torch.randn(2, 3), 0.3
    noisy = alpha**0.5 * clean + (1 - alpha) ** 0.5 * noise
    velocity = alpha**0.5 * noise - (1 - alpha) ** 0.5 * clean
    for output, kind in ((noise, "epsilon"), (velocity, "v_prediction"), (clean, "sample")):
        np.testing.assert_allclose(to_epsilon(output, noisy, alpha, kind).numpy(), noise.numpy(), atol=1e-5)
    with pytest.raises(UserInputError, match="prediction type"):
        to_epsilon(noise, noisy, alpha, "score")


def test_fixed_point_steps_make_a_few_step_inversion_come_back_closer():
    scheduler = DDIMScheduler(steps_offset=1, set_alpha_to_one=False)
    torch.manual_seed(0)
    mixing = torch.randn(4, 4) * 0.3

    def predict(x, t):
        return torch.tanh(torch.einsum("oc,bchw->bohw", mixing, x)) * (t / 1000)

    latents = torch.randn(1, 4, 6, 6)
    steps = noise_schedule(scheduler, 4, spacing="trailing")
    errors = [
        float((generate(predict, invert(predict, latents, steps, fixed_point=n), steps) - latents).abs().mean())
        for n in (1, 6)
    ]
    assert errors[1] < 0.2 * errors[0]


def test_cancel_is_honoured_within_one_step():
    scheduler = DDIMScheduler(steps_offset=1, set_alpha_to_one=False)
    token, calls = CancelToken(), []

    def predict(x, t):
        calls.append(t)
        token.cancel()
        return x

    with pytest.raises(OperationCancelled):
        invert(predict, torch.zeros(1, 4, 2, 2), noise_schedule(scheduler, 5), cancel=token)
    assert len(calls) == 1
