"""Finding an object and following it both ways, with stand-ins for the models; masks in a file."""

from __future__ import annotations

import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mpr.core.errors import MissingWeights, ObjectLost, ObjectNotFound, UserError
from tracking.masks.object_masks import object_masks, propagate, refuse_lost, searched_frames
from tracking.masks.packed_masks import PackedMasks
from tracking.masks.protocols import Detection
from tracking.masks.registry import MASK_MODELS, object_finder

H, W = 6, 11  # not square
BOX = (2.0, 1.0, 9.0, 4.0)


class Frames:
    """Frame t is filled with t. Knows how many of its frames are alive, and in which order they were asked for."""

    def __init__(self, length: int) -> None:
        self.length, self.asked, self.alive, self.most = length, [], weakref.WeakValueDictionary(), 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, t: int, /) -> np.ndarray:
        self.asked.append(t)
        frame = np.full((H, W, 3), t, np.uint8)
        self.alive[len(self.asked)] = frame
        self.most = max(self.most, len(self.alive))
        return frame


class Scores:
    """A Detector with a score for each (frame, word)."""

    def __init__(self, scores: dict[tuple[int, str], float]) -> None:
        self.scores, self.looked = scores, []

    def detect(self, frame, words):
        t = int(frame[0, 0, 0])
        self.looked.append(t)
        seen = [Detection(BOX, self.scores[t, word], word) for word in words if (t, word) in self.scores]
        return max(seen, key=lambda one: one.score, default=None)


class Filled:
    """A Segmenter: the box, filled."""

    def segment(self, frame, box):
        mask = np.zeros(frame.shape[:2], bool)
        x0, y0, x1, y1 = (int(v) for v in box)
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
        return mask


class Counting:
    """A Propagator whose mask has as many pixels as it has seen frames, and which keeps what it saw."""

    def __init__(self) -> None:
        self.memories: list[list[int]] = []
        self.prompts: list[object] = []

    def start(self, frame, prompt, length):
        memory = [int(frame[0, 0, 0])]
        self.memories.append(memory)
        self.prompts.append(prompt)

        def follow(frame):
            memory.append(int(frame[0, 0, 0]))
            return np.arange(H * W).reshape(H, W) < len(memory)

        return np.arange(H * W).reshape(H, W) < 1, follow


# Finding


def test_five_frames_are_searched_evenly_spaced_from_first_to_last():
    assert searched_frames(41) == [0, 10, 20, 30, 40]
    assert searched_frames(5) == [0, 1, 2, 3, 4]
    assert searched_frames(3) == [0, 1, 2]
    assert searched_frames(1) == [0]


def test_the_best_score_over_frames_and_words_wins_and_the_earliest_of_equal_ones():
    detector = Scores({(0, "cup"): 0.3, (20, "cup"): 0.4, (20, "mug"): 0.8, (30, "mug"): 0.8, (5, "cup"): 0.99})
    propagator = Counting()
    found = object_masks(Frames(41), ["cup", "mug"], detector, Filled(), propagator)
    assert detector.looked == [0, 10, 20, 30, 40]
    assert (found.frame, found.found) == (20, Detection(BOX, 0.8, "mug"))
    mask = propagator.prompts[0]
    assert isinstance(mask, np.ndarray) and mask[1:5, 2:10].all() and mask.sum() == 4 * 8  # rows are y, columns x
    object_masks(Frames(41), ["cup", "mug"], detector, None, propagator)
    assert propagator.prompts[-1] == BOX


@pytest.mark.parametrize("scores, reason", [({(10, "cup"): 0.09}, "best score 0.09, under 0.1"), ({}, "no box")])
def test_an_object_that_is_not_found_says_where_it_was_looked_for(scores, reason):
    with pytest.raises(ObjectNotFound, match=rf"no 'cup' or 'mug' on frames 0, 10, 20, 30, 40: {reason}"):
        object_masks(Frames(41), ["cup", "mug"], Scores(scores), Filled(), Counting())


def test_how_sure_and_how_lost_are_the_users_to_say(monkeypatch):
    from tracking.masks import registry

    class Losing:
        def start(self, frame, prompt, length):
            return prompt, lambda frame: np.full((H, W), frame[0, 0, 0] < 6)

    made = {"owlv2": Scores({(0, "cup"): 0.05}), "sam2": Filled(), "cutie": Losing()}
    monkeypatch.setattr(registry, "_load", lambda part, place, device: made[place.name])
    places = {name: Path(name) for name in made}
    assert object_finder(places=places, threshold=0.05, lost=0.5)(Frames(9), ["cup"]).found.score == 0.05
    with pytest.raises(ObjectNotFound, match=r"best score 0.05, under 0.06"):
        object_finder(places=places, threshold=0.06, lost=0.5)(Frames(9), ["cup"])
    with pytest.raises(ObjectLost, match="frames 6 to 8 of 9, over 30% on end"):
        object_finder(places=places, threshold=0.05, lost=0.3)(Frames(9), ["cup"])


def test_a_box_in_which_nothing_can_be_cut_out_is_no_find():
    class Nothing:
        def segment(self, frame, box):
            return np.zeros(frame.shape[:2], bool)

    with pytest.raises(ObjectNotFound, match=r"'cup' has a box on frame 2 \(score 0.50\), empty once cut out"):
        object_masks(Frames(5), ["cup"], Scores({(2, "cup"): 0.5}), Nothing(), Counting())


@pytest.mark.parametrize("words", [[], [" "], "cup"])
def test_words_that_name_nothing_are_refused(words):
    with pytest.raises(UserError, match="object words"):
        object_masks(Frames(5), words, Scores({}), Filled(), Counting())


# Following


@pytest.mark.parametrize("at", [0, 40, 59])
def test_each_direction_has_a_memory_of_its_own_and_every_frame_a_mask(at):
    frames, propagator = Frames(60), Counting()
    masks = propagate(propagator, frames, BOX, at)
    expected = [list(range(at, 60))] + ([list(range(at, -1, -1))] if at else [])
    assert propagator.memories == expected
    assert [int(masks[t].sum()) for t in range(60)] == [abs(t - at) + 1 for t in range(60)]


def test_frames_are_let_go():
    short, long = Frames(100), Frames(240)
    propagate(Counting(), short, BOX, 60)
    propagate(Counting(), long, BOX, 200)
    assert len(short.asked) == 100 and len(long.asked) == 240
    assert short.most <= 36 and long.most <= 36  # a batch of 32 that is walked backwards, and the ones at hand


# Losing


@pytest.mark.parametrize(
    "shown, lost",
    [("111100011111", None), ("000111111111", None), ("001001001001", None), ("111100001111", "4 to 7 of 12"),
     ("000011111111", "0 to 3 of 12"), ("111111110000", "8 to 11 of 12"), ("0000", "0 to 3 of 4")],
)  # fmt: skip
def test_an_object_without_a_mask_for_more_than_a_quarter_of_the_clip_on_end_is_lost(shown, lost):
    masks = PackedMasks(len(shown), (H, W))
    for t, there in enumerate(shown):
        if there == "1":
            masks.write(t, np.eye(H, W, dtype=bool))
    if lost is None:
        refuse_lost(masks)
        return
    with pytest.raises(ObjectLost, match=f"no mask on frames {lost}"):
        refuse_lost(masks)


# Masks in a file


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_masks_come_back_as_they_were_written_whatever_their_size_and_order(data, h, w, length):
    masks, kept = PackedMasks(length, (h, w)), np.zeros((length, h, w), bool)
    for t in data.draw(st.lists(st.integers(0, length - 1), max_size=6)):
        kept[t] = data.draw(arrays(np.bool_, (h, w)))
        masks.write(t, kept[t])
    assert len(masks) == length and masks[0].dtype == np.bool_
    for t in range(length):
        np.testing.assert_array_equal(masks[t], kept[t])
    np.testing.assert_array_equal(masks[-1], kept[-1])
    for missing in (length, -length - 1):
        with pytest.raises(IndexError):
            masks[missing]


@pytest.mark.parametrize("wrong", [np.zeros((W, H), bool), np.zeros((H, W), np.uint8)])
def test_a_mask_of_another_shape_or_kind_is_refused(wrong):
    with pytest.raises(ValueError, match="mask"):
        PackedMasks(2, (H, W)).write(0, wrong)


# Names


@pytest.mark.parametrize(
    "names, fault",
    [
        ("owlv3+sam2+cutie", "no model 'owlv3' .* there is owlv2 .detector., "),
        ("sam2+owlv2+cutie", "is no detector.segmenter.propagator"),
        ("owlv2", "is no detector"),
        ("owlv2+sam3", "is no detector"),
        ("sam3+cutie", "is no detector"),
        ("owlv2+cutie", "cutie starts from a mask"),
    ],
)
def test_parts_that_do_not_exist_or_go_together_are_refused_by_name(names, fault):
    with pytest.raises(UserError, match=fault):
        object_finder(names)


@pytest.mark.parametrize(
    "names, said",
    [
        ("owlv2+sam2+cutie", r"owlv2-base-patch16-ensemble: .*hf download google/owlv2-base-patch16-ensemble"),
        ("sam3", r"sam3: .*hf download facebook/sam3"),
    ],
)
def test_missing_weights_say_how_to_get_them_their_licence_and_what_needs_none(names, said, tmp_path: Path):
    with pytest.raises(MissingWeights, match=said + r".*licence.*mpr track --video FILE --box") as error:
        object_finder(names, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", MASK_MODELS)
def test_every_part_misses_its_weights_before_anything_heavy_is_imported(name, tmp_path: Path):
    from tracking.masks.registry import _load

    with pytest.raises(MissingWeights, match=MASK_MODELS[name].weights):
        _load(MASK_MODELS[name], tmp_path / MASK_MODELS[name].weights, "cpu")


def test_names_are_known_without_torch_or_transformers():
    code = (
        "import sys, tracking.masks.registry; print([m for m in ('torch', 'transformers', 'sam2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
