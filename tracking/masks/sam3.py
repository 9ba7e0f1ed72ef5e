"""SAM 3 finds an object by its name and follows it (transformers): instead of detector, segmenter and propagator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpr.core.data.clip import FrameSource
from mpr.core.errors import ObjectNotFound
from mpr.core.weights import Published, load_published
from tracking.masks.object_masks import check_words, mask_model_named, refuse_lost
from tracking.masks.owlv2 import refuse_long
from tracking.masks.packed_masks import PackedMasks
from tracking.masks.protocols import LOST, Box, Detection, Mask, Masked
from tracking.masks.sam2_video import reach, video_pixels
from tracking.masks.sessions import MadeReady, forget

SAM3_WEIGHTS = Published(
    "SAM 3",
    "hf download facebook/sam3 --local-dir {}",
    "the SAM Licence, to be accepted on the model's page first",
    ("sam3_video",),
)


class Sam3:
    """A Finder. It looks for the words on every frame, from the first on, and follows all that fits them.

    Handed on is the one object whose scores, summed over the frames that show it, are largest. Frames before it is
    first detected have no mask. Its memory grows by one frame in 16, as it refreshes itself. Where the `kernels`
    package is installed, transformers fetches code of its own from its hub to join duplicate detections and fill holes.
    """

    def __init__(self, model: Any, processor: Any, device: str = "cpu") -> None:
        self.model, self.processor, self.device = model, processor, device

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Sam3:
        """From a folder of downloaded weights. Raises MissingWeights and UserError."""
        return cls(*load_published(folder, SAM3_WEIGHTS, "Sam3VideoModel", "Sam3VideoProcessor", device), device)

    def __call__(self, frames: FrameSource, words: Sequence[str], lost: float = LOST) -> Masked:
        """Raises ObjectNotFound, ObjectLost, and UserError for words that name nothing."""
        check_words(words)
        text = self.model.config.detector_config.text_config
        refuse_long(words, self.processor.tokenizer, text, "SAM 3")
        h, w = frames[0].shape[:2]
        session = self.processor.init_video_session(inference_device=self.device)
        session.video_height, session.video_width = h, w
        session.processed_frames = MadeReady(frames, lambda frame: video_pixels(self.processor, frame, self.device))
        self.processor.add_text_prompt(session, list(words))
        objects: dict[int, _Object] = {}
        for outputs in self.model.propagate_in_video_iterator(session, start_frame_idx=0):
            seen = self.processor.postprocess_outputs(session, outputs)
            word_of = {i: word for word, ids in seen["prompt_to_obj_ids"].items() for i in ids}
            for i, score, shown in zip(
                seen["object_ids"].tolist(), seen["scores"].tolist(), seen["masks"], strict=True
            ):
                mask = shown.cpu().numpy()
                if not mask.any():  # what overlaps has gone to another object
                    continue
                if i not in objects:
                    found = Detection(box_of(mask), score, word_of[i])
                    objects[i] = _Object(PackedMasks(len(frames), (h, w)), outputs.frame_idx, found)
                objects[i].masks.write(outputs.frame_idx, mask)
                objects[i].total += score
            for kept in session.output_dict_per_obj.values():
                forget(kept, outputs.frame_idx, reach(self.model.tracker_model.config))
        if not objects:
            raise ObjectNotFound(f"no {mask_model_named(words)} on any of {len(frames)} frames")
        best = max(objects.values(), key=lambda one: one.total)
        refuse_lost(best.masks, lost)
        return Masked(best.masks, best.first, best.found)


@dataclass
class _Object:
    """One of the objects that fit the words."""

    masks: PackedMasks
    first: int
    found: Detection
    total: float = 0.0


def box_of(mask: Mask) -> Box:
    """The box around a mask's pixels."""
    y, x = np.nonzero(mask)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())
