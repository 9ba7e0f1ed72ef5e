"""From object words to masks: the best box of a few frames, cut out, followed forwards and backwards from there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from mpr.core.data.clip import FrameSource, MaskSource
from mpr.core.errors import ObjectLost, ObjectNotFound, UserError
from mpr.core.processes import no_bar
from tracking.masks.box_mask import backwards, forwards
from tracking.masks.packed_masks import PackedMasks
from tracking.masks.protocols import LOST, THRESHOLD, Box, Detection, Detector, Mask, Masked, Propagator, Segmenter

SEARCHED = 5  # frames, evenly spaced from the first to the last (paper, VII-A)


def object_masks(
    frames: FrameSource,
    words: Sequence[str],
    detector: Detector,
    segmenter: Segmenter | None,
    propagator: Propagator,
    threshold: float = THRESHOLD,
    lost: float = LOST,
) -> Masked:
    """Find the object that any of the words names, cut it out there, follow it both ways.

    Without a segmenter the propagator starts from the box. Raises ObjectNotFound and ObjectLost, which say why, and
    UserError for words that name nothing.
    """
    at, found = best_detection(frames, words, detector, threshold)
    prompt: Mask | Box = found.box
    if segmenter is not None:
        prompt = segmenter.segment(frames[at], found.box)
        if not prompt.any():
            raise ObjectNotFound(
                f"'{found.word}' has a box on frame {at} (score {found.score:.2f}), empty once cut out"
            )
    masks = propagate(propagator, frames, prompt, at)
    refuse_lost(masks, lost)
    return Masked(masks, at, found)


def searched_frames(length: int, count: int = SEARCHED) -> list[int]:
    """Up to `count` evenly spaced frames of a clip, the first and the last among them."""
    return sorted(set(np.linspace(0, length - 1, count).round().astype(int).tolist()))


def best_detection(
    frames: FrameSource, words: Sequence[str], detector: Detector, threshold: float = THRESHOLD
) -> tuple[int, Detection]:
    """The frame with the best box, and that box; of equal ones the earliest. Raises ObjectNotFound and UserError."""
    check_words(words)
    asked = searched_frames(len(frames))
    seen = [(t, found) for t in asked if (found := detector.detect(frames[t], words)) is not None]
    t, best = max(seen, key=lambda one: one[1].score, default=(-1, None))
    if best is None or best.score < threshold:
        score = "no box" if best is None else f"best score {best.score:.2f}, under {threshold:g}"
        raise ObjectNotFound(f"no {mask_model_named(words)} on frames {', '.join(map(str, asked))}: {score}")
    return t, best


def check_words(words: Sequence[str]) -> None:
    """Raises UserError for words that name nothing."""
    if isinstance(words, str) or not words or not all(word.strip() for word in words):
        raise UserError(f"object words {words!r}: give one or more names of the object, such as microwave")


def mask_model_named(words: Sequence[str]) -> str:
    """The words in quotation marks, joined by "or", for a message."""
    return " or ".join(f"'{word}'" for word in words)


def propagate(propagator: Propagator, frames: FrameSource, prompt: Mask | Box, at: int) -> PackedMasks:
    """Masks of all frames from a prompt on frame `at`: to the last, then, with a fresh memory, back to the first."""
    first = frames[at]
    masks = PackedMasks(len(frames), (first.shape[0], first.shape[1]))
    with tqdm(total=len(frames) - 1, desc="masks", unit="frame", disable=no_bar(), leave=False) as bar:
        for stretch in (forwards(frames, at), *([backwards(frames, at)] if at > 0 else [])):
            mask, follow = propagator.start(first, prompt, len(frames))
            masks.write(at, mask)
            for t, frame in stretch:
                masks.write(t, follow(frame))
                bar.update()
    return masks


def refuse_lost(masks: MaskSource, share: float = LOST) -> None:
    """Raises ObjectLost where masks are empty for more than that share of the clip on end, naming the frames."""
    longest, run = range(0), range(0)
    for t in range(len(masks)):
        run = range(t + 1, t + 1) if masks[t].any() else range(run.start, t + 1)
        longest = max(longest, run, key=len)
    if len(longest) > share * len(masks):
        raise ObjectLost(
            f"the object has no mask on frames {longest[0]} to {longest[-1]} of {len(masks)}, over {share:.0%} on end"
        )
