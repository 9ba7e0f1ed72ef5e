"""Narrations by meaning: cosine similarity of sentence embeddings, from a local folder of weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpr.core.weights import Published, load_published

_BATCH = 64
TOKENS = 128  # a sentence's at most
SENTENCES = Published(
    "sentence model",
    "hf download sentence-transformers/all-MiniLM-L6-v2 --local-dir {}",
    "Apache-2.0",
    instead="or leave --embed away: words are matched without any weights",
)


class SentenceModel:
    """A BERT-like encoder, mean-pooled over a sentence's tokens, from a local folder of weights.

    The folder is one that `save_pretrained` or a download made. Raises MissingWeights and NotReady.
    """

    def __init__(self, folder: Path) -> None:
        self.model, self.tokenizer = load_published(
            Path(folder), SENTENCES, "AutoModel", "AutoTokenizer", unused="pooler."
        )

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """[B, D], of length 1 each. A sentence's embedding does not depend on the others."""
        import torch

        parts = []
        for k in range(0, len(sentences), _BATCH):
            tokens = self.tokenizer(
                list(sentences[k : k + _BATCH]), padding=True, truncation=True, max_length=TOKENS, return_tensors="pt"
            )
            with torch.inference_mode():
                hidden = self.model(**tokens).last_hidden_state  # [B, S, D]
            real = tokens["attention_mask"][..., None].to(hidden.dtype)  # [B, S, 1]
            mean = (hidden * real).sum(1) / real.sum(1).clamp(min=1)
            parts.append(torch.nn.functional.normalize(mean, dim=1).numpy())
        return np.concatenate(parts)


class Similarity:
    """How near narrations come in meaning to one text; each narration is embedded once."""

    def __init__(self, model: SentenceModel, text: str) -> None:
        self.model, self.text = model, model.embed([text])[0]
        self.known: dict[str, float] = {}

    def __call__(self, narrations: Iterable[str]) -> list[float]:
        """Cosine in -1..1 of each."""
        narrations = list(narrations)
        if new := [n for n in dict.fromkeys(narrations) if n not in self.known]:
            self.known.update(zip(new, (self.model.embed(new) @ self.text).tolist(), strict=True))
        return [self.known[n] for n in narrations]
