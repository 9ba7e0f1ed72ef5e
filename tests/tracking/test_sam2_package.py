"""The `sam2` package's adapter against the package's own use of it; small random models of its classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mpr.core.errors import UserError
from tests.toy_mask_models import BOX, DISC, SIDE, SWAPPED, H, W, same, video
from tracking.masks import sam2_package
from tracking.masks.object_masks import propagate
from tracking.masks.sam2_package import Sam2Package, Sam2PackageVideo, config_of, hydra_of_sam2

PUBLISHED = [f"{v}_hiera_{s}.pt" for v in ("sam2", "sam2.1") for s in ("tiny", "small", "base_plus", "large")]


@pytest.mark.parametrize("name", ["model.pt", "sam2.1_hiera_huge.pt", "sam2.1_hiera_large.safetensors"])
def test_a_file_that_is_not_named_as_published_is_refused(name):
    with pytest.raises(UserError, match=f"{name} is not named as SAM 2's weights are, such as sam2.1_hiera_large.pt"):
        config_of(Path("weights") / name)


def test_published_names_have_configurations():
    assert config_of(Path("sam2.1_hiera_base_plus.pt")) == "configs/sam2.1/sam2.1_hiera_b+.yaml"
    package = pytest.importorskip("sam2", reason="the sam2 package is not installed: pip install sam2")
    assert all((Path(package.__file__).parent / config_of(Path(name))).is_file() for name in PUBLISHED)


def small(target: str):
    """A small model of one of the package's classes, from the package's own configuration of its smallest."""
    package = pytest.importorskip("sam2", reason="the sam2 package is not installed: pip install sam2")
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    f = SIDE // 16
    config = OmegaConf.load(Path(package.__file__).parent / config_of(Path("sam2.1_hiera_tiny.pt"))).model
    config._target_ = target
    config.image_size = SIDE
    config.image_encoder.trunk.update(embed_dim=16, stages=[1, 2, 2, 1], global_att_blocks=[4])
    config.image_encoder.neck.backbone_channel_list = [128, 64, 32, 16]
    config.memory_attention.num_layers = 1
    for attention in ("self_attention", "cross_attention"):
        config.memory_attention.layer[attention].feat_sizes = [f, f]
    torch.manual_seed(3)  # under which masks are neither empty nor full
    model = instantiate(config, _recursive_=True).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight) / (weight[0].numel() if weight.dim() > 1 else 1) ** 0.5)
        decoder = model.sam_mask_decoder
        decoder.pred_obj_score_head.layers[-1].bias.fill_(20)  # the object is there
        for name, weight in decoder.transformer.named_parameters():
            if name.endswith("_proj.weight"):
                weight.mul_(4)
        for layer in (decoder.output_upscaling[0], decoder.output_upscaling[3]):
            layer.bias.zero_()
        for head in decoder.output_hypernetworks_mlps:
            head.layers[-1].bias.normal_().sub_(head.layers[-1].bias.mean())
    return model


def test_a_box_is_cut_out_as_the_package_does():
    model, frame = small("sam2.modeling.sam2_base.SAM2Base"), video(1)[0]
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    own, ours = SAM2ImagePredictor(model), SAM2ImagePredictor(model)
    for predictor in (own, ours):  # it knows models of 1024 pixels alone
        predictor._bb_feat_sizes = [(SIDE // stride, SIDE // stride) for stride in (4, 8, 16)]
    segmenter, masks = Sam2Package(ours), []
    for box in (BOX, SWAPPED):
        own.set_image(frame)
        proposed, ratings, _ = own.predict(box=np.array(box))
        masks.append(segmenter.segment(frame, box))
        np.testing.assert_array_equal(masks[-1], proposed[np.argmax(ratings)].astype(bool))
        assert masks[-1].shape == (H, W) and masks[-1].dtype == np.bool_ and 0.003 < masks[-1].mean() < 0.997
    assert (masks[0] != masks[1]).mean() > 0.01


@pytest.mark.parametrize("prompt", [BOX, DISC], ids=["box", "mask"])
def test_an_object_is_followed_as_the_package_does_in_a_whole_video(prompt, tmp_path):
    from PIL import Image

    model, at = small("sam2.sam2_video_predictor.SAM2VideoPredictor"), 4
    for t, frame in enumerate(video(9)):
        Image.fromarray(frame).save(tmp_path / f"{t}.jpg")
    frames = [np.asarray(Image.open(tmp_path / f"{t}.jpg")) for t in range(9)]  # as the package reads them
    wanted = {}
    for reverse in (False, True):
        state = model.init_state(str(tmp_path))
        if isinstance(prompt, tuple):
            model.add_new_points_or_box(state, at, 1, box=np.array(prompt, np.float32))
        else:
            model.add_new_mask(state, at, 1, prompt)
        for t, _, scores in model.propagate_in_video(state, start_frame_idx=at, reverse=reverse):
            wanted[t] = (scores[0, 0] > 0).numpy()
    if not isinstance(prompt, tuple):
        wanted[at] = prompt
    same(propagate(Sam2PackageVideo(model), frames, prompt, at), [wanted[t] for t in range(9)])


def test_weights_are_read_as_published_and_hydra_is_given_back(tmp_path):
    pytest.importorskip("sam2", reason="the sam2 package is not installed: pip install sam2")
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from sam2.build_sam import build_sam2

    file = tmp_path / "sam2.1_hiera_tiny.pt"
    with hydra_of_sam2():
        saved = build_sam2(config_of(file), device="cpu").state_dict()
    torch.save({"model": saved}, file)
    GlobalHydra.instance().clear()
    loaded = Sam2Package.load(file).predictor.model.state_dict()
    assert loaded.keys() == saved.keys() and all(torch.equal(loaded[name], saved[name]) for name in saved)
    assert not GlobalHydra.instance().is_initialized()
    with initialize_config_module("sam2", version_base="1.2"):  # a user's own
        mine = GlobalHydra.instance().hydra
        file.write_bytes(b"no weights at all")
        with pytest.raises(UserError, match=r"sam2\.1_hiera_tiny\.pt does not hold SAM 2's weights whole"):
            Sam2PackageVideo.load(file)
        assert GlobalHydra.instance().hydra is mine


def test_without_the_package_it_is_said_how_to_install_it(tmp_path, monkeypatch):
    import sys

    file = tmp_path / "sam2.1_hiera_tiny.pt"
    file.write_bytes(b"")
    for name in ("sam2", "hydra.core.global_hydra"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"is not installed: pip install sam2, or give a box"):
        sam2_package.Sam2Package.load(file)
