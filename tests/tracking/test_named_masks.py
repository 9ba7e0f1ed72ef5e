"""Objects by name in the actions of a manifest: small random models, in workers, through the command."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from mpr.cli import main as mpr
from mpr.core.data.clip_folder import clip_folders, load_clip
from mpr.core.data.video import VideoFrames, write_video
from tests.core.test_video import patched
from tests.toy_mask_models import save_owlv2, save_sam2, video
from tests.tracking.test_corpus import contents
from tracking.masks.registry import object_finder
from tracking.sources.manifest import Entry, write_manifest

LENGTH, WORDS = 7, "microwave, red cup"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """weights/, and manifest.jsonl of an upright video, one that a flag turns, and one that is none."""
    home = tmp_path_factory.mktemp("named")
    save_owlv2(home / "weights" / "owlv2-base-patch16-ensemble")
    save_sam2(home / "weights" / "sam2.1-hiera-large")
    write_video(home / "upright.mp4", iter(video(LENGTH)), np.arange(LENGTH) / 10)

    def turn(data: bytearray, at: int) -> None:
        data[at + 40 : at + 76] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)

    patched(home / "upright.mp4", b"tkhd", turn).rename(home / "turned.mp4")
    (home / "none.mp4").write_text("no video")
    about = {"narration": "opens it", "verb": "open", "noun": "microwave", "licence": "none"}
    names = ("upright", "turned", "none")
    write_manifest(
        home / "manifest.jsonl",
        [Entry("toy", name, str(home / f"{name}.mp4"), 0.0, 9.0, **about, group=name) for name in names],
    )
    return home


def asked(home: Path, out: Path, *more: str) -> list[str]:
    by = ["--masks", "owlv2+sam2_video", "--words", WORDS, "--threshold", "0", "--mask_weights", str(home / "weights")]
    return ["track", "--manifest", str(home / "manifest.jsonl"), *by, "--device", "cpu", *more, "--out", str(out)]


@pytest.fixture(scope="module")
def one(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one worker, without overlays."""
    out = tmp_path_factory.mktemp("one") / "run"
    assert mpr(asked(home, out, "--overlay", "false")) == 0
    return out


def test_the_masks_are_the_finder_s_whoever_works(home: Path, one: Path, tmp_path: Path) -> None:
    assert mpr(asked(home, tmp_path / "two", "--workers", "2", "--overlay", "false")) == 0
    clips = [load_clip(folder) for folder in clip_folders(tmp_path / "two" / "clips")]
    assert [clip.source.uid for clip in clips] == ["turned", "upright"]
    assert all(clip.source.masks == "owlv2+sam2_video" and "score" in clip.source.extra for clip in clips)
    frames = VideoFrames(home / "upright.mp4")
    finder = object_finder("owlv2+sam2_video", home / "weights", threshold=0, lost=1.0)
    wanted = finder([frames[t] for t in range(LENGTH)], ["microwave", "red cup"])
    extra = clips[1].source.extra
    assert (extra["word"], extra["box"]) == (wanted.found.word, list(wanted.found.box))
    assert contents(one) == contents(tmp_path / "two")


def test_overlays_are_made_up_for(home: Path, one: Path, tmp_path: Path) -> None:
    shutil.copytree(one, tmp_path / "out")
    before = contents(tmp_path / "out")
    assert not (tmp_path / "out" / "overlays").exists()
    assert mpr(asked(home, tmp_path / "out")) == 0
    assert len(list((tmp_path / "out" / "overlays").glob("*.mp4"))) == 2
    after = contents(tmp_path / "out")
    assert "clips/review.html" in after and before.items() <= after.items()


def test_what_every_action_lacks_stops_the_run_and_nothing_counts_as_done(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*more: str) -> str:
        assert mpr([*asked(home, tmp_path / "out", "--overlay", "false"), *more]) == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert "no OWLv2 weights at" in refused("--mask_weights", str(tmp_path))
    if not torch.cuda.is_available():
        assert "has no GPU" in refused("--device", "cuda")
    assert "no device 'gpu'" in refused("--device", "gpu")
    assert "no model 'eyes'" in refused("--masks", "eyes")
    assert not (tmp_path / "out").exists()
    damaged = tmp_path / "weights"
    shutil.copytree(home / "weights", damaged)
    file = next((damaged / "owlv2-base-patch16-ensemble").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:5000])
    assert "does not hold OWLv2's weights whole" in refused("--mask_weights", str(damaged))
    shutil.rmtree(damaged)
    shutil.copytree(home / "weights", damaged)
    assert mpr([*asked(home, tmp_path / "out", "--overlay", "false"), "--mask_weights", str(damaged)]) == 0
    assert len(clip_folders(tmp_path / "out" / "clips")) == 2


def test_options_of_another_way_to_track_are_refused(home: Path, tmp_path: Path, capsys) -> None:
    out = ["--out", str(tmp_path / "no")]
    film = ["track", "--video", str(home / "upright.mp4"), "--box", "20,40,70,90"]
    for command, words in (
        ([*film, "--masks", "owlv2+sam2_video"], "mpr track --video: --masks goes with --manifest"),
        ([*film, "--workers", "2"], "--workers goes with --manifest"),
        ([*asked(home, tmp_path / "no"), "--box", "1,2,30,40"], "mpr track --manifest: --box goes with --video"),
        (["track", "--clips", str(home), "--rate_hz", "5"], "--rate_hz goes with --video and --manifest"),
        (["track", "--manifest", str(home / "manifest.jsonl"), "--words", "cup"], "looks for no words"),
    ):
        assert mpr([*command, *out]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_the_papers_way_through_the_command(home: Path, tmp_path: Path) -> None:
    """OWLv2, SAM 2, Cutie and CoTracker3 in a worker that finds their code and weights by itself; random weights."""
    reason = "the packages `cutie` and `cotracker` are in no registry"
    cutie = pytest.importorskip("cutie.model.cutie", reason=reason)
    build = pytest.importorskip("cotracker.models.build_cotracker", reason=reason)
    from tracking.masks.cutie import default_config, without_download

    weights = tmp_path / "weights"
    shutil.copytree(home / "weights", weights)
    torch.manual_seed(0)
    with without_download():
        network = cutie.CUTIE(default_config())
    torch.save(network.state_dict(), weights / "cutie-base-mega.pth")
    points = build.build_cotracker(None, offline=True, window_len=60, v2=False)
    torch.nn.init.constant_(points.updateformer.vis_conf_head.bias, 5.0)  # all is seen
    torch.save(points.state_dict(), tmp_path / "scaled_offline.pth")
    by = ["--masks", "owlv2+sam2+cutie", "--mask_weights", str(weights), "--tracker", "cotracker3_offline"]
    more = [*by, "--weights", str(tmp_path / "scaled_offline.pth")]
    assert mpr(asked(home, tmp_path / "out", *more)) == 0
    clips = [load_clip(folder) for folder in clip_folders(tmp_path / "out" / "clips")]
    assert [clip.source.uid for clip in clips] == ["turned", "upright"]
    for clip in clips:
        assert (clip.source.masks, clip.source.tracker) == ("owlv2+sam2+cutie", "cotracker3_offline")
        assert clip.segments[0].visible.any() and any(clip.masks[t].any() for t in range(len(clip.masks)))
        assert (tmp_path / "out" / "overlays" / f"{clip.source.uid}.mp4").exists()
