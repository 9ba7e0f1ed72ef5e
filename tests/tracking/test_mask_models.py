"""OWLv2, SAM 2, EdgeTAM and SAM 3 against transformers' own use of them: small random models, non-square video."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mpr.core.errors import ObjectLost, UserError
from tests.toy_mask_models import (
    BOX,
    DISC,
    SIDE,
    SWAPPED,
    H,
    W,
    same,
    save_edgetam,
    save_owlv2,
    save_sam2,
    save_sam3,
    video,
)
from tracking.masks import object_masks as rules
from tracking.masks.object_masks import propagate
from tracking.masks.owlv2 import Owlv2
from tracking.masks.registry import object_finder
from tracking.masks.sam2 import Sam2
from tracking.masks.sam2_video import Sam2Video
from tracking.masks.sam3 import Sam3

transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mpr[vision]'")

pytestmark = pytest.mark.usefixtures("no_network")
WORDS = ["microwave", "red cup"]
AT, LENGTH = 5, 12


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A folder of weights, named as the registry looks for them."""
    folder = tmp_path_factory.mktemp("weights")
    save_owlv2(folder / "owlv2-base-patch16-ensemble")
    save_sam2(folder / "sam2.1-hiera-large")
    save_sam3(folder / "sam3")
    return folder


# OWLv2


@pytest.mark.parametrize("shape", [(H, W), (W, H)])
def test_owlv2_gives_the_librarys_best_box_clipped_to_the_frame(weights, shape):
    folder = weights / "owlv2-base-patch16-ensemble"
    model = transformers.Owlv2ForObjectDetection.from_pretrained(folder).eval()
    processor = transformers.Owlv2Processor.from_pretrained(folder)
    detector = Owlv2.load(folder)
    for frame in video(13)[::6]:
        frame = frame if shape == (H, W) else np.ascontiguousarray(frame.transpose(1, 0, 2))
        inputs = processor(text=[WORDS], images=frame, return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        (library,) = processor.post_process_grounded_object_detection(
            outputs, threshold=0.0, target_sizes=torch.tensor([shape]), text_labels=[WORDS]
        )
        h, w = shape
        x0, y0, x1, y1 = library["boxes"].T
        inside = (x0 < w - 1) & (y0 < h - 1) & (x1 > 0) & (y1 > 0) & (x1 > x0) & (y1 > y0)
        best = int(torch.where(inside, library["scores"], -1).argmax())
        wanted = library["boxes"][best].numpy().clip(0, [w - 1, h - 1, w - 1, h - 1])
        found = detector.detect(frame, WORDS)
        assert found is not None
        assert found.box == tuple(wanted.tolist())
        assert found.score == float(library["scores"][best])
        assert found.word == library["text_labels"][best]
        # By hand: boxes are (cx, cy, w, h) of the square that the frame was padded to, whose side is the longer one.
        cx, cy, bw, bh = (max(shape) * outputs.pred_boxes[0, best]).tolist()
        by_hand = np.clip([cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2], 0, [w - 1, h - 1, w - 1, h - 1])
        np.testing.assert_allclose(found.box, by_hand, atol=1e-4)
        other = detector.detect(frame, WORDS[::-1])
        assert (
            other is not None and other.word == found.word == WORDS[1]
        )  # of a list's words it is not always the first


def test_a_box_in_the_padding_is_no_find(weights):
    detector = Owlv2.load(weights / "owlv2-base-patch16-ensemble")
    last = detector.model.box_head.dense2
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 20.0, 0.0, 0.0]))  # y at the bottom of the square, which is padding
        detector.model.box_bias[:] = 0
    detector.model.compute_box_bias = lambda *_, **__: 0
    assert detector.detect(video(1)[0], WORDS) is None


def test_a_phrase_that_cannot_be_read_whole_is_refused(weights):
    with pytest.raises(UserError, match="'a very very long name' is 19 tokens long, OWLv2 reads 16"):
        Owlv2.load(weights / "owlv2-base-patch16-ensemble").detect(video(1)[0], ["cup", "a very very long name"])
    with pytest.raises(UserError, match="is 48 tokens long, SAM 3 reads 32"):
        Sam3.load(weights / "sam3")(video(2), ["cup", "an even longer name " + 30 * "g"])


# SAM 2 on an image


def test_sam2_gives_the_librarys_best_mask_of_a_box(weights):
    folder, frame = weights / "sam2.1-hiera-large", video(1)[0]
    model = transformers.Sam2Model.from_pretrained(folder).eval()
    processor = transformers.Sam2Processor.from_pretrained(folder)
    segmenter, masks = Sam2.load(folder), []
    for box in (BOX, SWAPPED, (101.5, 3.25, 150.0, 51.75)):
        inputs = processor(images=frame, input_boxes=[[list(box)]], return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        proposed = processor.post_process_masks(outputs.pred_masks, inputs["original_sizes"])[0][0]  # [3, H, W]
        masks.append(segmenter.segment(frame, box))
        np.testing.assert_array_equal(masks[-1], proposed[outputs.iou_scores.flatten().argmax()].numpy())
        assert masks[-1].dtype == np.bool_ and masks[-1].shape == (H, W)
    assert all((masks[i] != masks[j]).mean() > 0.01 for i, j in ((0, 1), (0, 2), (1, 2)))


# SAM 2 and EdgeTAM on video


def whole_video(model, processor, frames, at: int, **prompt) -> list[np.ndarray]:
    """The library's masks of a video that it holds whole: a session forwards, another one backwards."""
    masks = {}
    for reverse in (False, True):
        session = processor.init_video_session(video=frames)
        processor.add_inputs_to_inference_session(session, frame_idx=at, obj_ids=1, **prompt)
        model(session, frame_idx=at)
        for output in model.propagate_in_video_iterator(session, start_frame_idx=at, reverse=reverse):
            (mask,) = processor.post_process_masks([output.pred_masks], original_sizes=[[H, W]])
            masks[output.frame_idx] = mask[0, 0].numpy()
    return [masks[t] for t in range(len(frames))]


@pytest.mark.parametrize("at", [0, AT, LENGTH - 1])
def test_sam2_follows_a_box_as_the_library_does_in_a_whole_video(weights, at):
    folder, frames = weights / "sam2.1-hiera-large", video(LENGTH)
    model = transformers.Sam2VideoModel.from_pretrained(folder).eval()
    processor = transformers.Sam2VideoProcessor.from_pretrained(folder)
    wanted = whole_video(model, processor, frames, at, input_boxes=[[list(BOX)]])
    same(propagate(Sam2Video.load(folder), frames, BOX, at), wanted)
    other = propagate(Sam2Video.load(folder), frames, SWAPPED, at)
    assert (other[at] != wanted[at]).mean() > 0.01


def test_sam2_follows_a_mask_as_the_library_does_in_a_whole_video_and_keeps_the_mask_itself(weights):
    folder, frames = weights / "sam2.1-hiera-large", video(LENGTH)
    model = transformers.Sam2VideoModel.from_pretrained(folder).eval()
    processor = transformers.Sam2VideoProcessor.from_pretrained(folder)
    wanted = whole_video(model, processor, frames, AT, input_masks=DISC)
    wanted[AT] = DISC  # the library hands back its own low-resolution image of it
    same(propagate(Sam2Video.load(folder), frames, DISC, AT), wanted)


def test_edgetam_follows_a_box_as_the_library_does_in_a_whole_video(tmp_path):
    pytest.importorskip("timm", reason="timm is not installed, which EdgeTAM's backbone needs: pip install timm")
    folder, frames = save_edgetam(tmp_path / "EdgeTAM-hf"), video(6)
    model = transformers.EdgeTamVideoModel.from_pretrained(folder).eval()
    processor = transformers.Sam2VideoProcessor.from_pretrained(folder)
    wanted = whole_video(model, processor, frames, 3, input_boxes=[[list(BOX)]])
    same(propagate(Sam2Video.load_edgetam(folder), frames, BOX, 3), wanted)


def tensors_alive() -> int:
    """Bytes of all tensors that Python holds, but the compiler's, which other tests leave and which have none."""
    gc.collect()
    plain = [one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter)]
    storages = [one.untyped_storage() for one in plain if one.device.type != "meta"]
    return sum({one.data_ptr(): one.nbytes() for one in storages}.values())


def test_what_the_compiler_left_is_no_tensor_alive() -> None:
    before = tensors_alive()
    with FakeTensorMode():
        left = torch.zeros(1000)
    assert type(left) is not torch.Tensor and tensors_alive() == before
    held = torch.zeros(1000)
    assert tensors_alive() == before + held.nbytes


def test_following_takes_no_more_memory_on_a_longer_clip(weights):
    propagator, frames = Sam2Video.load(weights / "sam2.1-hiera-large"), video(40)
    propagator.model.config.max_object_pointers_in_encoder = 8
    _, follow = propagator.start(frames[0], BOX, len(frames))
    alive = {}
    for t in range(1, 40):
        follow(frames[t])
        if t in (20, 39):
            alive[t] = tensors_alive()
    assert alive[39] == alive[20]
    assert alive[20] > 3 * SIDE * SIDE * 4


# SAM 3


@pytest.mark.parametrize("delay", [0, 3])
def test_sam3_gives_the_librarys_masks_of_the_object_that_fits_the_words_best(weights, delay):
    folder, frames = weights / "sam3", video(8)
    model = transformers.Sam3VideoModel.from_pretrained(folder).eval()
    processor = transformers.Sam3VideoProcessor.from_pretrained(folder)
    model.hotstart_delay = delay  # frames that the library holds back its masks
    session = processor.init_video_session(video=frames)
    processor.add_text_prompt(session, WORDS)
    masks, scores, word_of = {}, {}, {}
    for output in model.propagate_in_video_iterator(session):
        seen = processor.postprocess_outputs(session, output)
        for i, score, mask in zip(seen["object_ids"].tolist(), seen["scores"], seen["masks"], strict=True):
            masks.setdefault(i, np.zeros((8, H, W), bool))[output.frame_idx] = mask.numpy()
            scores[i] = float(score)
        word_of |= {i: word for word, ids in seen["prompt_to_obj_ids"].items() for i in ids}
    best = max(masks, key=lambda i: scores[i] * masks[i].any((1, 2)).sum())
    assert len(masks) > 2
    finder = object_finder("sam3", weights)
    finder.func.model.hotstart_delay = delay  # type: ignore[attr-defined]
    got = finder(frames, WORDS)
    same(got.masks, masks[best])
    assert (got.frame, got.found.word, got.found.score) == (0, word_of[best], scores[best])
    y, x = np.nonzero(masks[best][0])
    assert got.found.box == (x.min(), y.min(), x.max(), y.max())


def test_sam3_takes_no_more_memory_on_a_longer_clip(weights):
    finder, alive = Sam3.load(weights / "sam3"), {}
    finder.model.tracker_model.config.max_object_pointers_in_encoder = 8
    frames = video(22)

    class Watched:
        def __len__(self):
            return len(frames)

        def __getitem__(self, t, /):
            if t in (12, 21):
                alive[t] = tensors_alive()
            return frames[t]

    finder.model.recondition_every_nth_frame = 0
    finder(Watched(), WORDS)
    assert alive[21] <= alive[12] * 1.001


# Whole


@pytest.mark.parametrize("names", ["owlv2+sam2+sam2_video", "owlv2+sam2_video"])
def test_from_words_to_masks_by_name(weights, names):
    frames = video(9)
    found = object_finder(names, weights)(frames, WORDS)
    detector = Owlv2.load(weights / "owlv2-base-patch16-ensemble")
    seen = {t: detector.detect(frames[t], WORDS) for t in (0, 2, 4, 6, 8)}
    assert found.found == max(filter(None, seen.values()), key=lambda one: one.score) == seen[found.frame]
    prompt = found.found.box
    if "+sam2+" in names:
        prompt = Sam2.load(weights / "sam2.1-hiera-large").segment(frames[found.frame], prompt)
    wanted = propagate(Sam2Video.load(weights / "sam2.1-hiera-large"), frames, prompt, found.frame)
    same(found.masks, [wanted[t] for t in range(9)])


def test_an_object_that_the_model_loses_is_named_lost(weights, monkeypatch):
    monkeypatch.setattr(rules, "propagate", lambda propagator, frames, prompt, at: np.zeros((len(frames), H, W), bool))
    with pytest.raises(ObjectLost, match="frames 0 to 8 of 9"):
        object_finder("owlv2+sam2_video", weights)(video(9), WORDS)


# Weights


def spoiled(weights: Path, to: Path) -> Path:
    return Path(shutil.copytree(weights / "owlv2-base-patch16-ensemble", to / "owlv2"))


def test_damaged_or_foreign_weights_are_refused_by_name(weights, tmp_path):
    folder = spoiled(weights, tmp_path)
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"owlv2 does not hold OWLv2's weights whole .*: fetch them again") as error:
        Owlv2.load(folder)
    assert "\n" not in str(error.value)
    file.write_bytes(whole)
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="does not hold OWLv2's weights whole"):
        Owlv2.load(folder)
    with pytest.raises(UserError, match=r"holds a model of type sam2_video, not OWLv2"):
        Owlv2.load(weights / "sam2.1-hiera-large")


def test_a_package_that_a_model_needs_is_named(weights, monkeypatch):
    def refuse(*_, **__):
        raise ImportError("\nTimmWrapperModel requires the timm library: pip install timm\nmore")

    monkeypatch.setattr(transformers.Owlv2ForObjectDetection, "from_pretrained", refuse)
    with pytest.raises(UserError, match=r"OWLv2 needs a package that is not installed: Timm.* pip install timm$"):
        Owlv2.load(weights / "owlv2-base-patch16-ensemble")


def test_weights_with_a_hole_are_not_filled_with_random_numbers(weights, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = spoiled(weights, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["box_head.dense0.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"\(1 missing, box_head\.dense0\.weight first\): fetch them again"):
        Owlv2.load(folder)


def test_a_tokenizer_that_is_missing_is_named(weights, tmp_path):
    folder = spoiled(weights, tmp_path)
    for file in ("tokenizer.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json"):
        (folder / file).unlink(missing_ok=True)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "owlv2"
    with pytest.raises(UserError, match="does not hold OWLv2's weights whole"):
        Owlv2.load(folder)
