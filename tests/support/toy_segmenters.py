"""Toy folders of the real SAM-family classes (64 px input, random seeded weights, safetensors)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIZE = 64
DECODER = {
    "hidden_size": 16,
    "mlp_dim": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 16,
    "iou_head_depth": 2,
}


def _sam(t: Any, prefix: str) -> Any:
    vision = getattr(t, f"{prefix}VisionConfig")(
        hidden_size=16,
        output_channels=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIZE,
        patch_size=8,
        window_size=4,
        global_attn_indexes=[1],
        mlp_dim=32,
        num_pos_feats=8,
    )
    prompt = getattr(t, f"{prefix}PromptEncoderConfig")(
        hidden_size=16, image_size=SIZE, patch_size=8, mask_input_channels=4
    )
    extra = {"vit_dim": 16} if prefix == "SamHQ" else {}
    decoder = getattr(t, f"{prefix}MaskDecoderConfig")(**DECODER, **extra)
    config = getattr(t, f"{prefix}Config")(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    return getattr(t, f"{prefix}Model")(config)


def _sam2(t: Any) -> Any:
    hiera = t.Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[SIZE, SIZE],
        patch_kernel_size=[7, 7],
        patch_stride=[4, 4],
        patch_padding=[3, 3],
        query_stride=[2, 2],
        window_positional_embedding_background_size=[2, 2],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 2, 2, 2],
        window_size_per_stage=[8, 4, 4, 4],
        global_attention_blocks=[3],
    )
    vision = t.Sam2VisionConfig(
        backbone_config=hiera,
        backbone_channel_list=[64, 32, 16, 8],
        fpn_hidden_size=16,
        fpn_top_down_levels=[2, 3],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )
    prompt = t.Sam2PromptEncoderConfig(hidden_size=16, image_size=SIZE, patch_size=16, mask_input_channels=4)
    decoder = t.Sam2MaskDecoderConfig(**DECODER)
    return t.Sam2Model(t.Sam2Config(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder))


def _edgetam(t: Any) -> Any:
    backbone = t.TimmWrapperConfig(
        architecture="repvit_m1", model_args={"in_chans": 3, "features_only": True, "out_indices": (0, 1, 2, 3)}
    )
    vision = t.EdgeTamVisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[384, 192, 96, 48],
        fpn_hidden_size=16,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )
    prompt = t.EdgeTamPromptEncoderConfig(hidden_size=16, image_size=SIZE, patch_size=16, mask_input_channels=4)
    decoder = t.EdgeTamMaskDecoderConfig(**DECODER)
    return t.EdgeTamModel(
        t.EdgeTamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    )


def _sam3(t: Any) -> Any:
    vit = t.Sam3ViTConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        window_size=2,
        global_attn_indexes=[1],
        pretrain_image_size=56,
    )
    vision = t.Sam3VisionConfig(
        backbone_config=vit, fpn_hidden_size=16, backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]]
    )
    prompt = t.Sam3TrackerPromptEncoderConfig(hidden_size=16, image_size=56, patch_size=14, mask_input_channels=4)
    decoder = t.Sam3TrackerMaskDecoderConfig(**DECODER)
    return t.Sam3TrackerModel(
        t.Sam3TrackerConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    )


def make_toy_segmenter(kind: str, folder: Path) -> Path:
    """Write a folder of that `model_type` ("sam", "sam_hq", "sam2", "sam3_tracker", "edgetam" where timm is installed)."""
    import torch
    import transformers

    makers: dict[str, Any] = {
        "sam": lambda t: _sam(t, "Sam"),
        "sam_hq": lambda t: _sam(t, "SamHQ"),
        "sam2": _sam2,
        "edgetam": _edgetam,
        "sam3_tracker": _sam3,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = makers[kind](transformers)
    model.save_pretrained(folder)
    return folder
