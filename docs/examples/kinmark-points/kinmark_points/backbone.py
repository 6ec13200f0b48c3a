"""A backbone: any diffusers model on the hub, pinned to a revision, with the settings that were measured for it.

With `folder=` instead of `repo_id=` and `revision=` a package may bring the weights along. Only safetensors are loaded.
"""

from __future__ import annotations

from kinmark.plugins import BackboneSpec, FusionSpec

BACKBONE = BackboneSpec(
    id="lab-sd",
    title="Stable Diffusion 1.5 as our laboratory uses it",
    repo_id="stable-diffusion-v1-5/stable-diffusion-v1-5",
    revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    licence="CreativeML Open RAIL-M",
    licence_url="https://huggingface.co/spaces/CompVis/stable-diffusion-license",
    notice="Use restrictions apply (attachment A of the licence).",
    input_wh=(512, 512),
    variant="fp16",
    size_bytes=2_132_000_000,
    fusion=FusionSpec(descriptor="gradients", weight=0.2),
)
