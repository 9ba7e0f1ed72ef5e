"""SAM 2 cuts an object out of its box (transformers)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpr.core.weights import Published, load_published
from tracking.masks.protocols import Box, Frame, Mask

SAM2_WEIGHTS = Published(
    "SAM 2",
    "hf download facebook/sam2.1-hiera-large --local-dir {}",
    "Apache-2.0",
    ("sam2_video", "sam2"),  # as published, one folder serves images and video
)


class Sam2:
    """A Segmenter: of the masks that SAM 2 proposes for a box, the one it rates best."""

    def __init__(self, model: Any, processor: Any, device: str = "cpu") -> None:
        self.model, self.processor, self.device = model, processor, device

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Sam2:
        """From a folder of downloaded weights. Raises MissingWeights and UserError."""
        return cls(*load_published(folder, SAM2_WEIGHTS, "Sam2Model", "Sam2Processor", device), device)

    def segment(self, frame: Frame, box: Box) -> Mask:
        import torch

        inputs = self.processor(images=frame, input_boxes=[[list(box)]], return_tensors="pt").to(self.device)
        with torch.inference_mode():
            outputs = self.model(**inputs, multimask_output=True)
        (masks,) = self.processor.post_process_masks(outputs.pred_masks.cpu(), inputs["original_sizes"].cpu())
        return masks[0, int(outputs.iou_scores[0, 0].argmax())].numpy()  # masks [1, 3, H, W]
