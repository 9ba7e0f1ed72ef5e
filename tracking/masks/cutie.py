"""Cutie follows a mask (hkchengrex/Cutie, licence MIT). It is in no registry: it is installed from its repository.

Its own helper needs Hydra, a GPU and the network. Here the configuration is read from the package, and the ImageNet
weights that its constructor fetches are left out, since its own replace them.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpr.core.errors import UserError
from mpr.core.weights import Published, imported
from tracking.masks.protocols import Box, Follow, Frame, Mask

CUTIE_WEIGHTS = Published(
    "Cutie", "curl -Lo {} https://github.com/hkchengrex/Cutie/releases/download/v1.0/cutie-base-mega.pth", "MIT"
)
_INSTALL = "pip install omegaconf, then pip install --no-deps git+https://github.com/hkchengrex/Cutie"
_SIDE = 480  # pixels: shorter side of the images that Cutie sees; larger ones are reduced, masks enlarged again


class Cutie:
    """A Propagator that starts from a mask. Its memory holds at most five frames (its defaults)."""

    def __init__(self, network: Any, device: str = "cpu", side: int = _SIDE) -> None:
        self.network, self.device, self.side = network, device, side

    @classmethod
    def load(cls, weights: Path, device: str = "cpu", side: int = _SIDE) -> Cutie:
        """From its .pth file. Raises MissingWeights, and UserError for a damaged file or without Cutie's code."""
        import torch

        if not weights.is_file():
            raise CUTIE_WEIGHTS.missing(weights)
        network_class = imported("cutie.model.cutie", _INSTALL).CUTIE
        with without_download():
            network = network_class(default_config())
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            # What only training uses may be absent.
            absent = [
                name for name in network.state_dict() if name not in state and not name.startswith("aux_computer.")
            ]
            if absent:  # Cutie would go on with random numbers in their place
                raise UserError(f"{len(absent)} missing, {absent[0]} first")
            network.load_weights(state)
        except Exception as error:  # unpickling a torn file fails in many ways
            raise CUTIE_WEIGHTS.damaged(weights, error) from error
        return cls(network.to(device).eval(), device, side)

    def start(self, frame: Frame, prompt: Mask | Box, length: int) -> tuple[Mask, Follow]:
        """Raises UserError for a box."""
        import torch

        if isinstance(prompt, tuple):
            raise UserError("Cutie starts from a mask, not from a box: put a segmenter before it, as owlv2+sam2+cutie")
        core = imported("cutie.inference.inference_core", _INSTALL).InferenceCore(self.network, cfg=self.network.cfg)
        core.max_internal_size = self.side
        kind = torch.device(self.device).type

        def step(frame: Frame, *given: Any) -> Mask:
            image = torch.from_numpy(frame).to(self.device).permute(2, 0, 1).float() / 255
            with torch.inference_mode(), torch.autocast(kind, enabled=kind == "cuda"):
                shares = core.step(image, *given)  # [2, H, W]: background, object
            return (core.output_prob_to_mask(shares) == 1).cpu().numpy()

        step(frame, torch.from_numpy(prompt).to(self.device, torch.uint8), [1])
        return prompt, step


def default_config() -> Any:
    """What Cutie's `get_default_model` composes with Hydra."""
    yaml = imported("omegaconf", _INSTALL).OmegaConf
    folder = importlib.resources.files("cutie.config")
    config: Any = yaml.create((folder / "eval_config.yaml").read_text())
    for key in ("defaults", "hydra"):
        del config[key]
    config.model = yaml.create((folder / "model" / "base.yaml").read_text())
    imported("cutie.inference.utils.args_utils", _INSTALL).get_dataset_cfg(config)
    return config


@contextmanager
def without_download() -> Iterator[None]:
    """Cutie's networks are built empty."""
    resnet = imported("cutie.model.utils.resnet", _INSTALL)
    kept = {name: getattr(resnet, name) for name in ("resnet18", "resnet50")}

    def empty(make: Any) -> Any:
        return lambda pretrained=True, **given: make(pretrained=False, **given)

    try:
        for name, make in kept.items():
            setattr(resnet, name, empty(make))
        yield
    finally:
        for name, make in kept.items():
            setattr(resnet, name, make)
