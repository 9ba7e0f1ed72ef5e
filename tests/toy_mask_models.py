"""Small, randomly initialised models of the classes that find and follow objects, saved as their weights would be."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch

H, W = 96, 160  # not square
SIDE = 128  # of the images that the small models see
BOX = (20.0, 40.0, 70.0, 90.0)
SWAPPED = (40.0, 20.0, 90.0, 70.0)  # (row, column) taken for (x, y)
DISC = np.hypot(*np.meshgrid(np.arange(W) - 45, np.arange(H) - 66)) < 18  # the object of the video's first frame


def video(length: int, seed: int = 0) -> list[np.ndarray]:
    """A bright disc, left of the middle and low, that drifts over a texture, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.uniform(20, 110, (12, 20, 3)).astype(np.float32), (W, H), interpolation=cv2.INTER_CUBIC)
    frames = []
    for t in range(length):
        frame = np.ascontiguousarray(np.roll(ground, t, 1))
        cv2.circle(frame, (45 + 2 * t, 66 - t), 18, (240, 200, 90), -1)
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return frames


def same(masks, wanted) -> None:
    """Equal element by element, and neither empty nor full."""
    got, wanted = np.stack([masks[t] for t in range(len(masks))]), np.stack(wanted)
    np.testing.assert_array_equal(got, wanted)
    assert got.shape == (len(wanted), H, W) and 0.003 < got.mean() < 0.97
    assert len({mask.tobytes() for mask in wanted}) > 2


def lively_owlv2(model):
    """Random weights under which boxes, scores and words differ from frame to frame."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "box_head" in name:
                weight.mul_(0.2)
            elif weight.dim() > 1:
                gain = 1 if "embedding" in name else 2
                weight.copy_(gain * torch.randn_like(weight) / weight[0].numel() ** 0.5)
    return model


def lively_sam(model, seed: int = 1):
    """Random weights under which a mask is half the image, and depends on the prompt and on the frame."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight) / (weight[0].numel() if weight.dim() > 1 else 1) ** 0.5)
        decoder = model.mask_decoder
        decoder.pred_obj_score_head.proj_out.bias.fill_(20)  # the object is there
        for name, weight in decoder.transformer.named_parameters():
            if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight")):
                weight.mul_(4)
        for layer in (decoder.upscale_conv1, decoder.upscale_conv2):
            layer.bias.zero_()
        for head in decoder.output_hypernetworks_mlps:
            head.proj_out.bias.normal_().sub_(head.proj_out.bias.mean())
    return model


def tokenizer(folder: Path, longest: int):
    """CLIP's tokenizer of single letters, made here."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=longest)


def save_owlv2(folder: Path) -> Path:
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    words = tokenizer(folder / "words", 16)
    small = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    ends = dict(bos_token_id=len(words) - 2, eos_token_id=len(words) - 1, pad_token_id=0)
    torch.manual_seed(0)
    model = Owlv2ForObjectDetection(
        Owlv2Config(
            text_config=dict(vocab_size=len(words), **small, **ends),
            vision_config=dict(image_size=64, patch_size=8, **small),
            projection_dim=32,
        )
    )
    lively_owlv2(model).save_pretrained(folder)
    Owlv2Processor(Owlv2ImageProcessor(size={"height": 64, "width": 64}), words).save_pretrained(folder)
    return folder


def sam2_processor():
    from transformers import Sam2ImageProcessor, Sam2VideoProcessor, Sam2VideoVideoProcessor

    size, mask = {"height": SIDE, "width": SIDE}, {"height": SIDE // 4, "width": SIDE // 4}
    images = Sam2ImageProcessor(size=size, mask_size=mask)
    return Sam2VideoProcessor(images, Sam2VideoVideoProcessor(size=size), target_size=SIDE)


def save_sam2(folder: Path) -> Path:
    """As SAM 2.1 is published: the video model, from which the image model is read too."""
    from transformers import Sam2VideoConfig, Sam2VideoModel
    from transformers.models.sam2_video import configuration_sam2_video as parts

    f = SIDE // 16
    backbone = dict(
        model_type="sam2_hiera_det_model",
        hidden_size=16,
        num_attention_heads=1,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 14, 7],
        global_attention_blocks=[4],  # not a stage's first
    )
    vision = dict(
        model_type="sam2_vision_model",
        backbone_config=backbone,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[4 * f, 4 * f], [2 * f, 2 * f], [f, f]],
        fpn_hidden_size=128,
    )
    torch.manual_seed(0)
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=parts.Sam2VideoPromptEncoderConfig(hidden_size=128, image_size=SIDE, patch_size=16),
        mask_decoder_config=parts.Sam2VideoMaskDecoderConfig(
            hidden_size=128, mlp_dim=64, num_attention_heads=2, iou_head_hidden_dim=32
        ),
        image_size=SIDE,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[f, f],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=64,
    )
    lively_sam(Sam2VideoModel(config)).save_pretrained(folder)
    sam2_processor().save_pretrained(folder)
    return folder


def save_edgetam(folder: Path) -> Path:
    """Needs timm."""
    from transformers import EdgeTamVideoConfig, EdgeTamVideoModel, EdgeTamVisionConfig, TimmWrapperConfig

    f = SIDE // 16
    picks = {"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]}
    torch.manual_seed(0)
    config = EdgeTamVideoConfig(
        vision_config=EdgeTamVisionConfig(
            backbone_config=TimmWrapperConfig(architecture="repvit_m1", do_pooling=False, model_args=picks),
            backbone_feature_sizes=[[4 * f, 4 * f], [2 * f, 2 * f], [f, f]],
        ),
        prompt_encoder_config={"image_size": SIDE},
        image_size=SIDE,
        memory_attention_rope_feat_sizes=[f, f],
        memory_attention_rope_k_sizes=[f, f],
        perceiver_resampler_num_latents_2d=f * f,
    )
    lively_sam(EdgeTamVideoModel(config)).save_pretrained(folder)
    sam2_processor().save_pretrained(folder)
    return folder


def save_sam3(folder: Path) -> Path:
    from transformers import Sam2VideoVideoProcessor, Sam3ImageProcessor, Sam3VideoProcessor
    from transformers.models.sam3 import configuration_sam3 as detector
    from transformers.models.sam3_tracker_video import configuration_sam3_tracker_video as tracker
    from transformers.models.sam3_video import Sam3VideoConfig, Sam3VideoModel

    side, patch, width = 112, 14, 128
    f = side // patch
    words = tokenizer(folder / "words", 32)
    small = dict(hidden_size=32, intermediate_size=64, num_attention_heads=2)
    part = dict(hidden_size=width, intermediate_size=64, num_attention_heads=2, num_layers=1)
    vision = dict(
        model_type="sam3_vision_model",
        backbone_config=dict(
            model_type="sam3_vit_model",
            image_size=side,
            pretrain_image_size=side,
            num_hidden_layers=2,
            window_size=4,
            global_attn_indexes=[1],
            **small,
        ),
        fpn_hidden_size=width,
        backbone_feature_sizes=[[4 * f, 4 * f], [2 * f, 2 * f], [f, f]],
    )
    text = dict(
        model_type="clip_text_model",
        vocab_size=len(words),
        num_hidden_layers=1,
        max_position_embeddings=32,
        projection_dim=32,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
        **small,
    )
    torch.manual_seed(0)
    config = Sam3VideoConfig(
        detector_config=detector.Sam3Config(
            vision_config=vision,
            text_config=text,
            geometry_encoder_config=part,
            detr_encoder_config=part,
            detr_decoder_config=dict(num_queries=3, **part),
            mask_decoder_config=dict(hidden_size=width, num_attention_heads=2),
        ),
        tracker_config=tracker.Sam3TrackerVideoConfig(
            vision_config=vision,
            prompt_encoder_config=dict(hidden_size=width, image_size=side),
            mask_decoder_config=dict(hidden_size=width, mlp_dim=64, num_attention_heads=2, iou_head_hidden_dim=32),
            image_size=side,
            memory_attention_hidden_size=width,
            memory_attention_num_layers=1,
            memory_attention_feed_forward_hidden_size=64,
            memory_encoder_hidden_size=width,
            mask_downsampler_embed_dim=width,
            memory_fuser_embed_dim=width,
            memory_fuser_intermediate_dim=64,
        ),
        low_res_mask_size=4 * f,
        score_threshold_detection=0.2,
        new_det_thresh=0.2,
        hotstart_delay=0,
    )
    model = Sam3VideoModel(config)
    lively_sam(model.tracker_model)
    model.save_pretrained(folder)
    size = {"height": side, "width": side}
    images = Sam3ImageProcessor(size=size, mask_size={"height": 4 * f, "width": 4 * f})
    Sam3VideoProcessor(images, Sam2VideoVideoProcessor(size=size), words).save_pretrained(folder)
    return folder
