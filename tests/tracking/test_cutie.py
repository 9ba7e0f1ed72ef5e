"""Cutie's adapter against Cutie's own use of it, where a copy of its code is installed; random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mpr.core.errors import UserError
from tests.toy_mask_models import DISC, H, W, same, video
from tracking.masks.cutie import Cutie, default_config, without_download
from tracking.masks.object_masks import propagate
from tracking.masks.registry import object_finder

REASON = "Cutie is not installed (its code is in no registry): https://github.com/hkchengrex/Cutie, with omegaconf"
pytest.importorskip("omegaconf", reason=REASON)
cutie = pytest.importorskip("cutie.model.cutie", reason=REASON)

pytestmark = pytest.mark.usefixtures("no_network")
AT, LENGTH = 5, 14


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Random weights in a file as Cutie's are."""
    torch.manual_seed(0)
    with without_download():
        network = cutie.CUTIE(default_config())
    with torch.no_grad():
        network.mask_decoder.pred.weight.mul_(20)
    file = tmp_path_factory.mktemp("weights") / "cutie-base-mega.pth"
    torch.save(network.state_dict(), file)
    return file


def composed():
    """The configuration as Cutie's `get_default_model` composes it."""
    hydra = pytest.importorskip("hydra", reason="hydra is not installed, with which Cutie composes its configuration")
    from cutie.inference.utils.args_utils import get_dataset_cfg

    hydra.core.global_hydra.GlobalHydra.instance().clear()  # others may hold it
    with hydra.initialize_config_module("cutie.config", version_base="1.3.2"):
        config = hydra.compose("eval_config")
    get_dataset_cfg(config)
    return config


def librarys_own(weights: Path, monkeypatch):
    from cutie.model.utils import resnet

    monkeypatch.setattr(resnet.model_zoo, "load_url", lambda *_, **__: {})
    monkeypatch.setattr(resnet, "load_weights_add_extra_dim", lambda *_: None)
    network = cutie.CUTIE(composed()).eval()
    network.load_weights(torch.load(weights, weights_only=True))
    return network


def test_the_configuration_is_the_one_that_cutie_composes():
    from omegaconf import OmegaConf

    assert OmegaConf.to_container(default_config(), resolve=True) == OmegaConf.to_container(composed(), resolve=True)


@pytest.mark.parametrize("side", [480, 80])
def test_a_mask_is_followed_as_cutie_does_with_a_fresh_core_for_each_direction(weights, side, monkeypatch):
    from cutie.inference.inference_core import InferenceCore
    from torchvision.transforms.functional import to_tensor

    network, frames = librarys_own(weights, monkeypatch), video(LENGTH)
    wanted = {AT: DISC}
    for order in (range(AT, LENGTH), range(AT, -1, -1)):
        core = InferenceCore(network, cfg=network.cfg)
        core.max_internal_size = side
        for t in order:
            given = (torch.from_numpy(DISC.astype(np.uint8)), [1]) if t == AT else ()
            with torch.inference_mode():
                shares = core.step(to_tensor(frames[t]), *given)
            if t != AT:
                wanted[t] = core.output_prob_to_mask(shares).numpy() == 1
    same(propagate(Cutie.load(weights, side=side), frames, DISC, AT), [wanted[t] for t in range(LENGTH)])


def test_a_box_is_refused(weights):
    with pytest.raises(UserError, match="Cutie starts from a mask"):
        Cutie.load(weights).start(np.zeros((H, W, 3), np.uint8), (1.0, 2.0, 3.0, 4.0), 5)


def test_damaged_weights_or_weights_with_a_hole_are_refused_by_name(weights, tmp_path):
    file = tmp_path / "cutie-base-mega.pth"
    file.write_bytes(weights.read_bytes()[:10_000])
    with pytest.raises(UserError, match=r"cutie-base-mega.pth does not hold Cutie's weights whole"):
        Cutie.load(file)
    state = torch.load(weights, weights_only=True)
    del state["key_proj.key_proj.weight"]
    torch.save(state, file)
    with pytest.raises(UserError, match=r"\(1 missing, key_proj.key_proj.weight first\): fetch them again"):
        Cutie.load(file)


def test_owlv2_sam2_and_cutie_go_from_words_to_masks(weights, tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mpr[vision]'")
    from tests.toy_mask_models import save_owlv2, save_sam2

    save_owlv2(tmp_path / "owlv2-base-patch16-ensemble")
    save_sam2(tmp_path / "sam2.1-hiera-large")
    found = object_finder("owlv2+sam2+cutie", tmp_path, places={"cutie": weights})(video(6), ["microwave", "red cup"])
    assert len(found.masks) == 6 and found.masks[found.frame].any()
