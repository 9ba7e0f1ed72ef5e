"""SAM 2 through the `sam2` package and its .pt files: cuts an object out of its box, and follows it.

For those who have it already; tracking.masks.sam2 and sam2_video are the same models through transformers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mpr.core.errors import NotReady
from mpr.core.weights import Published, imported
from tracking.masks.protocols import Box, Follow, Frame, Mask
from tracking.masks.sessions import OneFrame, forget

SAM2_PACKAGE_WEIGHTS = Published(
    "SAM 2",
    "curl -Lo {} https://dl.fbaipublicfiles.com/segment_anything_2/092824/sam2.1_hiera_large.pt",
    "Apache-2.0",
)
_INSTALL = "pip install sam2"
_SIZES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Sam2Package:
    """A Segmenter: of the masks that SAM 2 proposes for a box, the one it rates best."""

    def __init__(self, predictor: Any) -> None:
        self.predictor = predictor  # SAM2ImagePredictor

    @classmethod
    def load(cls, weights: Path, device: str = "cpu") -> Sam2Package:
        """From a .pt file named as published. Raises MissingWeights and UserError."""
        model = built("build_sam2", weights, device)
        return cls(imported("sam2.sam2_image_predictor", _INSTALL).SAM2ImagePredictor(model))

    def segment(self, frame: Frame, box: Box) -> Mask:
        self.predictor.set_image(frame)
        masks, ratings, _ = self.predictor.predict(box=np.array(box, np.float32), multimask_output=True)
        return masks[ratings.argmax()] > 0  # masks [3, H, W]


class Sam2PackageVideo:
    """A Propagator that starts from a mask or a box. Memory does not grow with the clip's length."""

    def __init__(self, model: Any) -> None:
        self.model = model  # SAM2VideoPredictor

    @classmethod
    def load(cls, weights: Path, device: str = "cpu") -> Sam2PackageVideo:
        """From a .pt file named as published. Raises MissingWeights and UserError."""
        return cls(built("build_sam2_video_predictor", weights, device))

    def start(self, frame: Frame, prompt: Mask | Box, length: int) -> tuple[Mask, Follow]:
        """The library's state of a whole video, in the direction of travel, of which one frame at a time is there."""
        from PIL import Image

        with TemporaryDirectory() as folder:  # the library opens folders; what it read is replaced at once
            Image.fromarray(frame).save(Path(folder) / "0.jpg")
            state = self.model.init_state(folder)
        one = OneFrame(length)
        one.frame = self._pixels(frame)
        state["images"], state["num_frames"] = one, length
        state["cached_features"].clear()
        if isinstance(prompt, tuple):
            self.model.add_new_points_or_box(state, frame_idx=0, obj_id=1, box=np.array(prompt, np.float32))
        else:
            self.model.add_new_mask(state, frame_idx=0, obj_id=1, mask=prompt)
        masks = self.model.propagate_in_video(state, start_frame_idx=0)
        reach = max(
            self.model.num_maskmem * self.model.memory_temporal_stride_for_eval, self.model.max_obj_ptrs_in_encoder
        )

        def follow(frame: Frame) -> Mask:
            one.frame = self._pixels(frame)
            t, _, scores = next(masks)
            forget(state["output_dict_per_obj"][0], t, reach)
            return (scores[0, 0] > 0).cpu().numpy()

        first = follow(frame)
        return first if isinstance(prompt, tuple) else prompt, follow

    def _pixels(self, frame: Frame) -> Any:
        """A frame as the library makes a folder's ready: float [3, S, S]."""
        import torch
        from PIL import Image

        side = self.model.image_size
        image = np.asarray(Image.fromarray(frame).resize((side, side))) / 255.0
        pixels = torch.from_numpy(image).permute(2, 0, 1).float()
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        return (pixels - mean) / std


def built(builder: str, weights: Path, device: str) -> Any:
    """One of the package's models. Raises MissingWeights and UserError."""
    if not weights.is_file():
        raise SAM2_PACKAGE_WEIGHTS.missing(weights)
    config = config_of(weights)
    with hydra_of_sam2():
        build = getattr(imported("sam2.build_sam", _INSTALL), builder)
        try:
            return build(config, str(weights), device=device)
        except Exception as error:  # unpickling a torn file fails in many ways
            raise SAM2_PACKAGE_WEIGHTS.damaged(weights, error) from error


def config_of(weights: Path) -> str:
    """The package's configuration for a file of weights, by its name."""
    match = re.fullmatch(r"(sam2(?:\.1)?)_hiera_(\w+)\.pt", weights.name)
    if match is None or match[2] not in _SIZES:
        raise NotReady(f"{weights.name} is not named as SAM 2's weights are, such as sam2.1_hiera_large.pt: rename it")
    return f"configs/{match[1]}/{match[1]}_hiera_{_SIZES[match[2]]}.yaml"


@contextmanager
def hydra_of_sam2() -> Iterator[None]:
    """The package takes hold of Hydra when imported, and asks it for its configurations: Hydra is given back after."""
    held = imported("hydra.core.global_hydra", _INSTALL).GlobalHydra
    before = held.instance().hydra
    try:
        imported("sam2", _INSTALL)
        held.instance().clear()
        with imported("hydra", _INSTALL).initialize_config_module("sam2", version_base="1.2"):
            yield
    finally:
        held.instance().hydra = before
