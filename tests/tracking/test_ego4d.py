"""Ego4D's annotation files, in every layout; all made here."""

from __future__ import annotations

import pytest

from mpr.core.errors import UserError
from tests.toy_sources import dump, film, read
from tracking.sources import ego4d, epic
from tracking.sources.query import Query
from tracking.sources.video_info import VideoInfo

V1, V2 = "001e3e4e-2743", "002d2729-df71"


def said(text: str, second: float) -> dict:
    return {"timestamp_sec": second, "timestamp_frame": round(30 * second), "narration_text": text,
            "annotation_uid": "one for the whole pass"}  # fmt: skip


NARRATIONS = {
    V1: {
        "narration_pass_1": {"narrations": [said("#C C opens the microwave door", 10.0), said("#O A man Y waves", 12.0),
                                            said("#summary C cooks", 13.0), said("opens", 14.0)], "summaries": []},
        "narration_pass_2": {"narrations": [said("#C C pulls the microwave handle", 10.1)]},
        "status": "complete",
    },
    V2: {"status": "redacted"},
}  # fmt: skip


@pytest.mark.parametrize("nested", [False, True])
def test_narrations_flat_and_nested_both_passes(tmp_path, nested):
    file = dump(tmp_path / "narration.json", {"videos": NARRATIONS, "version": "v2"} if nested else NARRATIONS)
    found, reasons = read(ego4d.ego4d_actions, file, tmp_path)
    assert [a.narration for a in found] == ["opens the microwave door", "pulls the microwave handle"]
    assert [a.uid for a in found] == [f"{V1}-p1-00000", f"{V1}-p2-00000"]
    assert [(a.start_s, a.stop_s) for a in found] == [(9.0, 11.0), (9.1, 11.1)]  # the man's stamp counts as a neighbour
    assert {(a.dataset, a.group, a.licence, a.video) for a in found} == {
        ("ego4d", V1, "Ego4D License Agreement", tmp_path / f"{V1}.mp4")
    }
    assert reasons == {
        "left out: another person's action (#O)": 1,
        "left out: a summary": 1,
        "left out: says not who acts (no #C)": 1,
    }


def box(kind: str, noun: str | None) -> dict:
    return {"object_type": kind, "structured_noun": noun, "bbox": {"x": 0, "y": 0, "width": 9, "height": 9}}


def fho_action(**changes) -> dict:
    return {
        "uid": None, "start_sec": 20.0, "end_sec": 28.0, "start_frame": 600, "end_frame": 840, "is_valid_action": True,
        "is_partial": False, "is_rejected": False, "is_invalid_annotation": False,
        "narration_text": "#C C opens the microwave", "structured_verb": "open", "freeform_verb": None,
        "critical_frames": {"pre_45": 620, "pre_frame": 660, "contact_frame": 670, "pnr_frame": 690, "post_frame": 720},
        "frames": [
            {"frame_type": "pre_frame", "boxes": [box("object_of_change", "plate")]},
            {"frame_type": "pnr_frame", "boxes": [box("left_hand", None), box("object_of_change", "microwave_(oven)")]},
        ],
    } | changes  # fmt: skip


FHO = [
    fho_action(),
    fho_action(critical_frames=None, frames=None, structured_verb="[other]"),
    fho_action(critical_frames={"pre_frame": 700, "post_frame": None}, start_sec=None, structured_verb=None),
    fho_action(is_valid_action=False),
    fho_action(is_rejected=True),
    fho_action(is_invalid_annotation=True),
    fho_action(is_partial=True),
    fho_action(narration_text="#O man opens the microwave"),
]
INTERVALS = [
    {"clip_uid": "c", "redacted": False, "narrated_actions": FHO},
    {"clip_uid": None, "redacted": True, "narrated_actions": [fho_action(), fho_action()]},
]
METADATA = {"fps": 30.0, "num_frames": 9000, "duration_sec": 300.0, "width": 1440, "height": 1080}


def test_fho_main_v2_and_v1_say_the_same(tmp_path):
    video = {"video_metadata": METADATA, "annotated_intervals": INTERVALS}
    v2 = dump(tmp_path / "v2.json", {"version": "2", "videos": [{"video_uid": V1, **video}]})
    v1 = dump(tmp_path / "v1.json", {"video_data": {V1: video}})
    assert read(ego4d.ego4d_actions, v2, tmp_path) == read(ego4d.ego4d_actions, v1, tmp_path)
    found, reasons = read(ego4d.ego4d_actions, v2, tmp_path)
    assert [(a.start_s, a.stop_s) for a in found] == [(22.0, 24.0), (20.0, 28.0), (20.0, 28.0)]
    assert [a.extra["window"] for a in found] == [
        "pre_frame to post_frame", "start_sec to end_sec", "start_frame to end_frame"
    ]  # fmt: skip
    assert [a.verbs for a in found] == [("open",), (), ()]
    assert [a.nouns for a in found] == [("microwave", "oven"), (), ("microwave", "oven")]
    assert found[0].info == VideoInfo(300.0, 30.0, 1440, 1080)
    assert reasons == {
        "left out: is_valid_action is false": 1,
        "left out: is_rejected": 1,
        "left out: is_invalid_annotation": 1,
        "left out: is_partial": 1,
        "left out: another person's action (#O)": 1,
        "left out: redacted": 2,
    }


def lta(index: int, **changes) -> dict:
    return {
        "video_uid": V1, "clip_uid": "c1", "action_idx": index, "clip_parent_start_sec": 100.0,
        "action_clip_start_sec": 2.0 + index, "action_clip_end_sec": 3.5 + index,
        "verb": "turn_on_(switch,_start,_light)", "noun": "microwave", "verb_label": 3, "noun_label": 4,
    } | changes  # fmt: skip


def test_fho_lta_counts_from_the_start_of_the_parent_video(tmp_path):
    unannotated = {key: value for key, value in lta(2).items() if key not in ("verb", "noun")}
    file = dump(tmp_path / "v2/annotations/fho_lta_train.json", {"clips": [lta(0), lta(1), unannotated]})
    dump(
        tmp_path / "v2/ego4d.json", {"videos": [{"video_uid": V1, "duration_sec": 300, "video_metadata": {"fps": 30}}]}
    )
    film(tmp_path / "v2/video_540ss" / f"{V1}.mp4")
    found, reasons = read(ego4d.ego4d_actions, file, None)
    assert [(a.start_s, a.stop_s) for a in found] == [(102.0, 103.5), (103.0, 104.5)]
    assert found[0].narration == "turn on microwave" and found[0].verbs == ("turn on", "switch", "start", "light")
    assert found[0].video == tmp_path / "v2/video_540ss" / f"{V1}.mp4" and found[0].info == VideoInfo(300, 30)
    assert Query(verb="switch", noun="microwave").matches(found[1])
    assert reasons == {"left out: not annotated (test split)": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "none of the layouts known"),
        ('{"videos": []}', "none of the layouts known"),
        ('{"videos": [{"video_uid": "a"}]}', "none of the layouts known"),
        ('{"clips": [{"action_clip_start_sec": 1}]}', "'video_uid' is missing; is this a file of Ego4D's"),
        (
            '{"clips": [{"action_clip_start_sec": "x", "video_uid": "a", "verb": "v"}]}',
            "'clip_parent_start_sec' is miss",
        ),
        ('{"videos": [{"video_uid": "a", "annotated_intervals": [{}]}]}', "'narrated_actions' is missing"),
        ('{"v": {"narration_pass_1": {"narrations": [{"timestamp_sec": "noon"}]}}}', "v: could not convert"),
        ('{"v": {"narration_pass_1": 3}}', "v: "),
    ],
)
def test_a_file_that_is_not_ego4ds_is_refused_by_name(tmp_path, content, words):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError) as caught:
        read(ego4d.ego4d_actions, tmp_path / "a.json", None)
    assert str(tmp_path / "a.json") in str(caught.value) and words in str(caught.value)


def test_a_folder_of_annotations_is_not_a_file(tmp_path):
    dump(tmp_path / "fho_main.json", {})
    with pytest.raises(UserError, match=r"is a folder: name one of its annotation files \(fho_main.json\)"):
        read(ego4d.ego4d_actions, tmp_path, None)
    with pytest.raises(UserError, match="is a folder: name one of its tables"):
        read(epic.epic_actions, tmp_path, None)
    with pytest.raises(UserError, match="does not exist"):
        read(ego4d.ego4d_actions, tmp_path / "gone.json", None)
