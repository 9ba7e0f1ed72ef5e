"""SAM 2 and EdgeTAM follow an object through a video (transformers): two models, one session interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpr.core.weights import Published, load_published
from tracking.masks import sam2
from tracking.masks.protocols import Box, Follow, Frame, Mask
from tracking.masks.sessions import OneFrame, forget

EDGETAM = Published("EdgeTAM", "hf download yonigozlan/EdgeTAM-hf --local-dir {}", "Apache-2.0", ("edgetam_video",))


class Sam2Video:
    """A Propagator that starts from a mask or a box. Memory does not grow with the clip's length."""

    def __init__(self, model: Any, processor: Any, device: str = "cpu") -> None:
        self.model, self.processor, self.device = model, processor, device

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Sam2Video:
        """SAM 2 from a folder of downloaded weights. Raises MissingWeights and UserError."""
        return cls(*load_published(folder, sam2.SAM2_WEIGHTS, "Sam2VideoModel", "Sam2VideoProcessor", device), device)

    @classmethod
    def load_edgetam(cls, folder: Path, device: str = "cpu") -> Sam2Video:
        """EdgeTAM from a folder of downloaded weights; needs timm. Raises MissingWeights and UserError."""
        return cls(*load_published(folder, EDGETAM, "EdgeTamVideoModel", "Sam2VideoProcessor", device), device)

    def start(self, frame: Frame, prompt: Mask | Box, length: int) -> tuple[Mask, Follow]:
        """A session of its own, in which time runs in the direction of travel: backwards is a video played backwards.

        It is the library's session of a whole video of `length` frames, of which one at a time is there.
        """
        session = self.processor.init_video_session(inference_device=self.device)
        session.video_height, session.video_width = frame.shape[:2]
        session.processed_frames = one = OneFrame(length)
        if isinstance(prompt, tuple):
            given: dict[str, Any] = {"input_boxes": [[list(prompt)]]}
        else:
            given = {"input_masks": prompt}
        self.processor.add_inputs_to_inference_session(session, frame_idx=0, obj_ids=1, **given)
        masks = self.model.propagate_in_video_iterator(session, start_frame_idx=0)

        def follow(frame: Frame) -> Mask:
            one.frame = video_pixels(self.processor, frame, self.device)
            outputs = next(masks)
            forget(session.output_dict_per_obj[0], outputs.frame_idx, reach(self.model.config))
            (mask,) = self.processor.post_process_masks([outputs.pred_masks.cpu()], original_sizes=[frame.shape[:2]])
            return mask[0, 0].numpy()

        first = follow(frame)
        return first if isinstance(prompt, tuple) else prompt, follow


def video_pixels(processor: Any, frame: Frame, device: str) -> Any:
    """A frame as the library makes a whole video ready: float [3, S, S]."""
    return processor.video_processor(videos=frame[None], device=device, return_tensors="pt").pixel_values_videos[0][0]


def reach(config: Any) -> int:
    """How many frames back a model of the SAM family looks."""
    return max(config.num_maskmem, config.max_object_pointers_in_encoder)
