"""Extraction on the toy pipeline: order, cache, seeds, fusion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from kinmark.engine.api import ImageInput
from kinmark.engine.domain.geometry import ImageTransform
from kinmark.engine.features.fusion import join_blocks

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession


def _extract(session: EngineSession, folder: Path, images: tuple[ImageInput, ...], **options: int):
    name = str(folder)
    extractor = session.extractor(name)
    views = [session.whole_view(image, name) for image in images]
    recipe = extractor.recipe(**options)
    return extractor.extract(views, prompt=session.prompt("empty", extractor.backbone), recipe=recipe)


def test_second_extraction_comes_from_the_cache(
    toy_session: EngineSession, toy_pipeline_dir: Path, toy_images: tuple[ImageInput, ...]
) -> None:
    first = _extract(toy_session, toy_pipeline_dir, toy_images)
    second = _extract(toy_session, toy_pipeline_dir, toy_images)
    assert toy_session.extractor(str(toy_pipeline_dir)).computed == len(toy_images)
    assert [m.features.shape for m in first] == [(32, 16, 16)] * 4
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.features, b.features)
        assert a.spec == b.spec


def test_features_do_not_depend_on_the_batch(
    toy_session: EngineSession, toy_pipeline_dir: Path, toy_images: tuple[ImageInput, ...]
) -> None:
    toy_session.cache = None
    extractor = toy_session.extractor(str(toy_pipeline_dir))
    together = _extract(toy_session, toy_pipeline_dir, toy_images, ensemble=3)
    extractor.ladder.batch = 1
    alone = _extract(toy_session, toy_pipeline_dir, toy_images, ensemble=3)
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.features, b.features, atol=1e-4, rtol=1e-4)


def test_seed_changes_features_and_their_run_spec(
    toy_session: EngineSession, toy_pipeline_dir: Path, toy_images: tuple[ImageInput, ...]
) -> None:
    one = _extract(toy_session, toy_pipeline_dir, toy_images[:1], seed=1)[0]
    two = _extract(toy_session, toy_pipeline_dir, toy_images[:1], seed=2)[0]
    assert one.spec.fingerprint() != two.spec.fingerprint()
    assert not torch.allclose(one.features, two.features)


def test_fused_cosine_is_the_weighted_mean_of_both(
    toy_session: EngineSession, toy_pipeline_dir: Path, toy_images: tuple[ImageInput, ...]
) -> None:
    name = str(toy_pipeline_dir)
    extractor = toy_session.extractor(name)
    view = toy_session.whole_view(toy_images[0], name)
    prompt = toy_session.prompt("empty", extractor.backbone)
    diffusion = extractor.extract([view], prompt=prompt, fusion_weight=0.0)[0]
    described = extractor.descriptor_maps([view], "dense_sift")[0]
    fused = extractor.extract([view], prompt=prompt, descriptor="dense_sift", fusion_weight=0.3)[0]

    def cosine(maps: torch.Tensor) -> torch.Tensor:
        cells = torch.nn.functional.normalize(maps.flatten(1), dim=0)
        return cells.T @ cells

    expected = 0.7 * cosine(diffusion.features) + 0.3 * cosine(described.features)
    torch.testing.assert_close(cosine(fused.features), expected, atol=1e-4, rtol=0)


def test_scales_are_joined_with_their_weights(
    toy_session: EngineSession, toy_pipeline_dir: Path, toy_images: tuple[ImageInput, ...]
) -> None:
    name = str(toy_pipeline_dir)
    extractor = toy_session.extractor(name)
    view = toy_session.whole_view(toy_images[0], name)
    prompt = toy_session.prompt("empty", extractor.backbone)
    recipe = replace(extractor.recipe(), clean=True, ensemble=1)
    both = replace(recipe, extra_scales=((0.5, 0.4),))
    half = ImageTransform.crop(
        (0.0, 0.0, *map(float, extractor.source.size_wh(view.image))), tuple(n // 2 for n in view.input_wh)
    )
    maps = [extractor.compute([v], prompt, recipe) for v in (view, replace(view, transform=half))]
    assert maps[0].shape[-1] == 2 * maps[1].shape[-1]
    torch.testing.assert_close(extractor.compute([view], prompt, both), join_blocks(maps, [0.6, 0.4]))
    one, two = (extractor.diffusion_maps([view], prompt, r)[0].spec for r in (recipe, both))
    assert one.fingerprint() != two.fingerprint()
