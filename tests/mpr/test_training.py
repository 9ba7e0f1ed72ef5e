"""Training: it learns, it resumes bitwise after kill -9, ranks share one stream, wrong checkpoints are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mpr.commands.train import main
from mpr.core.checkpoints import BadCheckpoint, last_checkpoint, reading
from mpr.core.data.clip import TrackedClip
from mpr.core.data.clip_folder import save_clip
from mpr.core.errors import UserError
from mpr.predictor.checkpoint import load_predictor
from mpr.predictor.model import MotionModel
from mpr.predictor.samples import strided
from mpr.training.config import NONE
from mpr.training.loop import Samples, learning_rate, loader, relative_error, squared_pixels
from mpr.training.metrics import mean_motion, probe_figures
from mpr.training.model_card import not_commercial, sources
from mpr.training.probes import probes
from tests.toy_clips import toy_clip

SMALL = ["--image", "32", "--points", "12", "--batch", "4", "--device", "cpu", "--val_share", "0.3"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    for i in range(6):
        save_clip(toy_clip(i, length=7, start=i % 3, cut=4 if i % 2 else None), root / f"c{i}")
    return root


def command(clips: Path, out: Path, *more: str) -> list[str]:
    return ["--clips", str(clips), "--out", str(out), *SMALL, "--steps", "20", "--checkpoint_every", "5", *more]


@pytest.fixture(scope="module")
def trained(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    main(command(clips, out))
    return out


def weights(run: Path) -> dict[str, torch.Tensor]:
    folder = last_checkpoint(run)
    assert folder is not None
    return load_file(folder / "model.safetensors")


def test_killed_and_resumed_is_bitwise_the_unbroken_run(clips: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    argv = [sys.executable, "-m", "mpr.cli", "train", *command(clips, out)]
    started = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics, deadline = out / "metrics.jsonl", time.monotonic() + 120
    while not metrics.exists() or len(metrics.read_text().splitlines()) < 8:
        assert started.poll() is None and time.monotonic() < deadline, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert not (out / "summary.json").exists() and last_checkpoint(out) is not None
    with metrics.open("a") as file:
        file.write('{"step": 9, "lo')  # a line torn by the kill
    (out / "checkpoints" / ".0000015.1.tmp").mkdir()  # half of a checkpoint
    main(command(clips, out))
    rows, wanted = ([json.loads(r) for r in (d / "metrics.jsonl").read_text().splitlines()] for d in (out, trained))
    assert rows == wanted and len(rows) == 20
    ours, theirs = weights(out), weights(trained)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert (out / "held_out.md").read_text() == (trained / "held_out.md").read_text()


def test_a_run_folder_says_what_it_was_made_of(trained: Path) -> None:
    card = json.loads((trained / "model_card.json").read_text())
    data = card["data"]
    assert data["datasets"] == ["toy"] and data["trackers"] == ["exact"] and data["licences"] == ["none"]
    assert not set(data["groups"]) & set(data["held_out_groups"])
    assert data["clips"] + data["held_out_clips"] == 6 and card["rate_hz"] == 12.5
    assert card["trained_parameters"] > 1e6 and "torch" in card["versions"]
    assert "constant velocity" in (trained / "model_card.md").read_text()


def test_the_card_says_what_forbids_commercial_use() -> None:
    def made(dataset: str, licence: str, tracker: str) -> TrackedClip:
        clip = toy_clip(0)
        return replace(clip, source=replace(clip.source, dataset=dataset, licence=licence, tracker=tracker))

    free = [made("synth", "made here", "exact"), made("mine", "CC BY 4.0", "lucas_kanade")]
    assert not_commercial(free) == []
    bound = [
        made("ego4d", "Ego4D License Agreement", "lucas_kanade"),
        made("epic100", "CC BY-NC 4.0", "lucas_kanade"),
        made("synth", "made here", "cotracker3_online"),
    ]
    assert not_commercial([*free, *bound]) == [
        "tracked with cotracker3_online, CC-BY-NC 4.0",
        "trained on ego4d, Ego4D License Agreement",
        "trained on epic100, CC BY-NC 4.0",
    ]
    assert [row["clips"] for row in sources([*free, free[0]])] == [1, 2]


@pytest.mark.parametrize("licence", [
    "not for commercial use", "no commercial use", "for research purposes only", "research-only",
    "Academic use only", "only for research", "non-commercial", "CC-BY-NC-SA 4.0",
])  # fmt: skip
def test_a_licence_in_plain_words_forbids_too(licence: str) -> None:
    clip = toy_clip(0)
    assert not_commercial([replace(clip, source=replace(clip.source, licence=licence))])


@pytest.mark.parametrize(
    "licence", ["CC BY 4.0", "MIT", "made here", "commercial use allowed", "unknown", "Apache-2.0"]
)
def test_a_licence_that_forbids_nothing_is_not_said_to(licence: str) -> None:
    clip = toy_clip(0)
    assert not not_commercial([replace(clip, source=replace(clip.source, licence=licence))])


def test_a_finished_run_stays_as_it_is(clips: Path, trained: Path) -> None:
    before = {k: v.clone() for k, v in weights(trained).items()}
    main(command(clips, trained))
    assert all(torch.equal(before[k], v) for k, v in weights(trained).items())
    with pytest.raises(UserError, match="lr"):
        main(command(clips, trained, "--lr", "0.5"))


def test_predictor_speaks_pixels_of_256(trained: Path) -> None:
    predictor = load_predictor(trained)
    assert predictor.budget == 12 and predictor.rate_hz == 12.5
    frames = np.zeros((3, 256, 256, 3), np.uint8)
    tokens = predictor.tokens(frames, frames + 9)
    assert tokens.shape[0] == 3 and not torch.equal(tokens[:, :4], tokens[:, 4:])
    points, valid = np.full((3, 12, 2), 100.0, np.float32), np.ones((3, 12), bool)
    with torch.no_grad():
        predictor.model.head.weight.zero_()
        predictor.model.head.bias.copy_(torch.tensor([3.0, -2.0]))
    deltas = predictor.predict(tokens, points, np.zeros(3, np.float32), valid)
    np.testing.assert_allclose(deltas, np.broadcast_to([3.0, -2.0], (3, 12, 2)), atol=1e-4)


def test_another_architecture_is_refused_by_name(trained: Path, tmp_path: Path) -> None:
    def spoilt(name: str, change) -> Path:
        folder = tmp_path / name / "checkpoints" / "0000020"
        folder.mkdir(parents=True)
        about = json.loads((trained / "checkpoints" / "0000020" / "checkpoint.json").read_text())
        state = weights(trained)
        change(about, state)
        (folder / "checkpoint.json").write_text(json.dumps(about))
        save_file(state, folder / "model.safetensors")
        return tmp_path / name

    cases = {
        "other": (lambda about, state: about.update(architecture="GRU"), "'GRU'"),
        "deeper": (lambda about, state: about["size"].update(depth=5), r"another architecture: .*blocks\.[34]"),
        "wider": (lambda about, state: about["size"].update(point_bands=2), "embed_points.weight"),
        "keys": (lambda about, state: about["size"].pop("points"), "points"),
    }
    for name, (change, message) in cases.items():
        with pytest.raises(BadCheckpoint, match=message):
            load_predictor(spoilt(name, change))
    torn = spoilt("torn", lambda about, state: None)
    file = torn / "checkpoints" / "0000020" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BadCheckpoint, match="damaged"):
        load_predictor(torn)
    for content in (b'{"architecture": "\xff"}', b"null", b'{"architecture": '):
        (file.parent / "checkpoint.json").write_bytes(content)
        with pytest.raises(BadCheckpoint, match=r"checkpoint\.json cannot be read"):
            load_predictor(torn)
    with pytest.raises(BadCheckpoint, match="holds no predictor checkpoint"):
        load_predictor(tmp_path / "nowhere")


def test_it_learns_a_toy_and_beats_the_stand_ins(tmp_path: Path) -> None:
    for i in range(10):
        save_clip(toy_clip(i, length=8, drift=(0.5, 0.0)), tmp_path / "clips" / f"c{i}")
    off = [a for k in NONE.__dataclass_fields__ for a in (f"--augment.{k}", "0")]
    argv = command(tmp_path / "clips", tmp_path / "run", *off, "--strides", "1", "--lr", "0.003")
    main([*argv, "--steps", "120", "--batch", "8"])
    rows = json.loads((tmp_path / "run" / "summary.json").read_text())["held_out"]
    assert rows["predictor"]["agreement"]["value"] > 0.97
    assert rows["predictor"]["error_px"]["value"] < 0.5 * rows["zero motion"]["error_px"]["value"]
    assert rows["frames reversed"]["agreement"]["value"] > 0.9 > rows["random direction"]["agreement"]["value"]


def test_ranks_share_one_stream() -> None:
    samples = Samples([toy_clip(0), toy_clip(1)], 12, 3)
    whole = list(loader(samples, 8, 2, 5))
    parts = [list(loader(samples, 8, 2, 5, rank=r, world=2)) for r in (0, 1)]
    assert len(whole) == len(parts[0]) == 3
    for k, batch in enumerate(whole):
        for key, value in batch.items():
            assert torch.equal(value, torch.cat([parts[0][k][key], parts[1][k][key]]))


@pytest.mark.slow
def test_two_ranks_give_the_weights_of_one(clips: Path, trained: Path, tmp_path: Path) -> None:
    argv = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29547", "-m", "mpr.cli", "train"]
    subprocess.run([sys.executable, *argv, *command(clips, tmp_path / "two")], check=True, timeout=250)
    torch.manual_seed(0)
    start = MotionModel(load_predictor(trained).size).state_dict()

    def moved(run: Path) -> torch.Tensor:
        return torch.cat([(value - start[key]).flatten() for key, value in sorted(weights(run).items())])

    one, two = moved(trained), moved(tmp_path / "two")
    assert (one - two).norm() < 0.1 * one.norm()


@pytest.mark.parametrize("fast", [4.0, 40.0])
def test_relative_error_knows_no_speed(fast: float) -> None:
    """Rest costs nearly 1 at any speed, the truth nothing; an invalid point counts in neither."""
    points = torch.zeros(1, 3, 2)
    target = torch.tensor([[[fast, 0.0], [0.0, fast], [999.0, 0.0]]]) / 255
    batch = {"points": points, "target": target, "valid": torch.tensor([[True, True, False]])}
    torch.testing.assert_close(relative_error(points, batch), torch.tensor(fast**2 / (fast**2 + 1)))
    assert relative_error(torch.where(batch["valid"][..., None], target, 5.0), batch) == 0


def test_loss_is_mean_squared_pixels_of_valid_points() -> None:
    target = torch.zeros(1, 3, 2)
    predicted = torch.tensor([[[3.0, 0.0], [0.0, 0.0], [99.0, 99.0]]]) / 255
    batch = {"target": target, "valid": torch.tensor([[True, True, False]])}
    torch.testing.assert_close(squared_pixels(predicted, batch), torch.tensor(9.0 / 2 / 2))


def test_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(s, 100, 1.0, 10) for s in range(100)]
    assert rates[0] == 0.1 and rates[9] == rates[10] == 1.0
    assert all(a > b for a, b in pairwise(rates[10:])) and rates[-1] < 0.001
    assert learning_rate(77, 100, 0.3, -1) == 0.3


def test_figures_of_known_predictions() -> None:
    clips = [toy_clip(i, length=8, start=3) for i in range(4)]
    asked = probes(clips, 30)
    oracle = probe_figures(asked, [p.target for p in asked])
    assert (oracle.error_px.value, oracle.agreement.value, oracle.rest_agreement.value) == pytest.approx((0, 1, 1))
    zero = probe_figures(asked, [np.zeros_like(p.target) for p in asked])
    assert zero.agreement.value == 0 and np.isnan(zero.contrast.value)
    assert zero.error_px.value == pytest.approx(4.0, abs=0.05)  # where it moves, it moves by 4 px
    sideways = probe_figures(asked, [p.target[:, ::-1] for p in asked])
    assert sideways.agreement.value == pytest.approx(0, abs=1e-3)
    velocity = probe_figures(asked, [p.velocity for p in asked])
    assert velocity.rest_agreement.value == 0  # nothing to copy: the object stood still in both frames
    assert velocity.agreement.value == pytest.approx(3 / 4, abs=0.02)
    assert {p.t for p in asked if p.at_rest and p.moving.any()} == {3}
    np.testing.assert_allclose(mean_motion(clips), [4.0 * 4 / 7, 0], atol=0.02)


def test_constant_velocity_is_the_scoring_stand_ins_across_a_cut_too() -> None:
    """The square slides 4 px a step under a drifting camera; nothing is known of a step before the first.

    Just after the cut a new point's velocity is its neighbour's, and rest where it has none near.
    """
    for probe in probes([toy_clip(0, length=8, cut=4)], 30):
        known = np.abs(probe.velocity).max(1) > 0
        np.testing.assert_allclose(probe.velocity[known], np.tile([4.0, 0.0], (known.sum(), 1)), atol=0.02)
        assert known.mean() == (0 if probe.t == 0 else 1) or (probe.t == 4 and known.mean() > 0.7)


def test_dry_run_touches_nothing(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*command(clips, tmp_path / "run"), "--dry-run"])
    shown = capsys.readouterr().out
    assert not (tmp_path / "run").exists() and "parameters" in shown and "GB" in shown
    with pytest.raises(UserError, match="no size 'huge'"):
        main(["--size", "huge"])
    with pytest.raises(UserError, match="missing input"):
        main(["--clips", str(tmp_path / "none"), "--out", str(tmp_path / "run"), "--dry-run"])


def test_stride_augmentation_adds_slower_clips() -> None:
    clip = toy_clip(0, length=9)
    assert [len(c.times) for c in strided(clip, 2)] == [5, 4]
    samples = Samples([c for k in (1, 2) for c in strided(clip, k)], 12, 0, replace(NONE))
    assert len(samples) == 8 + 4 + 3


def test_too_little_memory_is_not_taken_for_a_damaged_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="allocate memory"), reading(tmp_path / "checkpoint.json"):
        torch.empty(2**60, dtype=torch.uint8)
