"""OWLv2 finds an object by its name (transformers)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpr.core.errors import UserError
from mpr.core.weights import Published, load_published
from tracking.masks.protocols import Detection, Frame

OWLV2_WEIGHTS = Published(
    "OWLv2", "hf download google/owlv2-base-patch16-ensemble --local-dir {}", "Apache-2.0", ("owlv2",)
)


class Owlv2:
    """A Detector. Words are put to the model as they are: "microwave" and "a photo of a microwave" are two prompts."""

    def __init__(self, model: Any, processor: Any, device: str = "cpu") -> None:
        self.model, self.processor, self.device = model, processor, device

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Owlv2:
        """From a folder of downloaded weights. Raises MissingWeights and UserError."""
        return cls(*load_published(folder, OWLV2_WEIGHTS, "Owlv2ForObjectDetection", "Owlv2Processor", device), device)

    def detect(self, frame: Frame, words: Sequence[str]) -> Detection | None:
        """The best box that has pixels in the frame, clipped to it. Raises UserError for a phrase that is too long."""
        import torch

        words = list(words)
        refuse_long(words, self.processor.tokenizer, self.model.config.text_config, "OWLv2")
        inputs = self.processor(images=frame, text=[words], return_tensors="pt").to(self.device)
        with torch.inference_mode():
            outputs = self.model(**inputs)
        h, w = frame.shape[:2]
        # The library pads frames to a square, below and to the right: boxes are parts of its side, and may lie outside.
        (found,) = self.processor.post_process_grounded_object_detection(
            outputs, threshold=-1.0, target_sizes=[(h, w)], text_labels=[words]
        )
        limits = torch.tensor([w - 1, h - 1, w - 1, h - 1], device=found["boxes"].device)
        boxes = found["boxes"].clamp(min=0).minimum(limits)
        scores = found["scores"].where((boxes[:, 2:] > boxes[:, :2]).all(1), -1.0)
        best = int(scores.argmax())
        if scores[best] < 0:
            return None
        x0, y0, x1, y1 = boxes[best].tolist()
        return Detection((x0, y0, x1, y1), float(scores[best]), found["text_labels"][best])


def refuse_long(words: Sequence[str], tokenizer: Any, text: Any, model: str) -> None:
    """Raises UserError for a word that has more tokens than the text part of a model (its config) reads."""
    most = text.max_position_embeddings
    for word, tokens in zip(words, tokenizer(list(words)).input_ids, strict=True):
        if len(tokens) > most:
            raise UserError(f"object word '{word}' is {len(tokens)} tokens long, {model} reads {most}: shorten it")
