"""The two lines joined: rewards that see, while a residual policy practises in the kitchen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.checkpoints import last_checkpoint
from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode
from mpr.core.errors import MissingWeights, UserError
from mpr.predictor.checkpoint import load_predictor
from mpr.predictor.predicted import PredictedDeltas
from mpr.reward.agreement import agreement, moved_share, training_reward
from mpr.reward.any_motion import AnyMotionReward
from mpr.reward.tracked import track_episode
from rl.data.demonstrations import demonstration_folder, load_demonstration, save_demonstration
from rl.environments.kitchen.tasks import find_task
from rl.environments.kitchen.tracked import tracked_from
from rl.environments.setting import RewardView, Setting
from rl.residual.rewards import find_reward, rewards_of_signal
from tests.apart import apart
from tests.process_state import let_go
from tracking.motion.points import Transition

TASK, STEPS = "slide", 30
VARIANTS = ("motion", "motion tracker=lucas_kanade", "none", "any_motion", "dense", "paper_sparse")
SETTING = Setting(f"kitchen:{TASK}")
pytestmark = [pytest.mark.gl, pytest.mark.usefixtures("short_episodes")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """predictor/ of three steps, demos/ of one demonstration, episodes/ with two openings."""
    home = tmp_path_factory.mktemp("joined")
    clips, run = str(home / "clips"), str(home / "predictor")
    assert main(["synth", "--task", "open_slide_cabinet", "--clips", "2", "--seed", "7", "--out", clips]) == 0
    train = ["train", "--clips", clips, "--steps", "3", "--batch", "2", "--points", "12", "--lr", "0.01"]
    assert main([*train, "--out", run]) == 0
    let_go()  # of what each of these commands keeps, before the next brings its own
    assert main(["demos", "--task", TASK, "--num_demos", "1", "--out", str(home / "demos")]) == 0
    opening = ["episodes", "--task", TASK, "--kind", "opening", "--episodes", "2", "--seed", "500000", "--view", "left"]
    assert main([*opening, "--out", str(home / "episodes")]) == 0
    let_go()
    return home


@pytest.fixture(scope="module")
def opening(home: Path) -> Episode:
    return load_episode(home / "episodes" / "episode_500000")


def test_a_view_is_the_reward_s_not_the_recording_s(opening: Episode) -> None:
    scores = {
        view: find_reward("any_motion", SETTING, RewardView(view=view)).score(opening) for view in ("left", "low")
    }
    assert opening.recording is not None and opening.about["view"] == "left"
    assert np.array_equal(scores["left"], AnyMotionReward(track_episode).score(opening))
    assert not np.array_equal(scores["left"], scores["low"])


def test_one_renderer_shows_every_episode_as_its_own_would(home: Path, opening: Episode) -> None:
    """The robot stands elsewhere in each episode; what an episode looks like must not depend on the one before."""
    other = load_episode(home / "episodes" / "episode_500001")
    track = tracked_from(find_task(TASK), "left", "exact")
    for episode in (other, opening, other, opening):
        with track(episode) as clip:
            last = len(clip.times) - 1
            seen = [clip.frames[0], clip.frames[last], clip.masks[last], *(s.points for s in clip.segments)]
            with pytest.raises(RuntimeError, match="must end before"), track(episode):
                pass
    with track_episode(opening) as clip:
        alone = [clip.frames[0], clip.frames[last], clip.masks[last], *(s.points for s in clip.segments)]
    assert all(np.array_equal(a, b) for a, b in zip(seen, alone, strict=True))


def test_predicting_moving_transitions_alone_changes_no_reward(home: Path, opening: Episode) -> None:
    """Batches hold other transitions than in the full computation: last bits may differ, no more."""
    fast = find_reward("motion", SETTING, RewardView(home / "predictor", view="left")).score(opening)
    with track_episode(opening) as clip:
        model = PredictedDeltas(load_predictor(home / "predictor"))
        every = [Transition.of(clip, t) for t in range(len(clip.times) - 1)]
        deltas = model(clip, every)
        full = np.array([agreement(d, x.delta[x.object]) for d, x in zip(deltas, every, strict=True)])
        moving = np.array([moved_share(x.delta[x.object]) > 0 for x in every])
    assert 5 < moving.sum() < len(moving) and full[moving].max() > 0.01 and not full[~moving].any()
    np.testing.assert_allclose(fast, full, rtol=1e-4, atol=1e-6)


def practice(home: Path, reward: str, run: Path) -> list[str]:
    asked = ["finetune", "--env", SETTING.env, "--base", "zero", "--demos", str(home / "demos"), "--reward", reward]
    asked += ["--predictor", str(home / "predictor"), "--pretrain", "2", "--utd", "0.1", "--batch", "8"]
    return [*asked, "--warmup_steps", "0", "--checkpoint_every", "1", "--episodes", "2", "--out", str(run)]


@dataclass(frozen=True)
class Practised:
    """A run, and what was paid for each of its episodes, that of the demonstration first."""

    reward: str
    run: Path
    paid: list[tuple[Episode, np.ndarray]]


@pytest.fixture(scope="module", params=["motion", "any_motion"])
def whole(request: pytest.FixtureRequest, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Practised:
    """Unbroken practice with a demonstration, whose door moves, and its own episodes. Made again where tests in another
    order come back to a reward."""
    done = Practised(request.param, tmp_path_factory.mktemp("whole") / "run", [])

    def spied(signal: np.ndarray, episode: Episode, *rest) -> np.ndarray:
        done.paid.append((episode, rewards_of_signal(signal, episode, *rest)))
        return done.paid[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        for module in ("callback", "demonstrations"):
            patch.setattr(f"rl.residual.{module}.rewards_of_signal", spied)
        assert main(practice(home, done.reward, done.run)) == 0
    return done


def test_practice_is_paid_what_the_reward_says(home: Path, whole: Practised) -> None:
    scorer = find_reward(whole.reward, SETTING, RewardView(home / "predictor"))
    for episode, rewards in whole.paid:
        success = np.arange(1, len(episode) + 1) == (len(episode) if episode.success else -1)
        np.testing.assert_array_equal(rewards, training_reward(scorer.score(episode), success))
    shown, *own = whole.paid
    assert len(own) == 2 and shown[0].success and shown[1][:-1].max() > -1.0, "what moved was predicted to"
    np.testing.assert_array_equal(replay(whole.run), np.concatenate([rewards for _, rewards in own]))


def test_practice_that_was_killed_after_an_episode_ends_as_the_unbroken(
    home: Path, tmp_path: Path, whole: Practised
) -> None:
    asked = practice(home, whole.reward, tmp_path / "broken")
    with pytest.raises(Killed), pytest.MonkeyPatch.context() as patch:
        patch.setattr("rl.residual.train.Finetuning._recent", killed)
        main(asked)
    let_go()
    assert main(asked) == 0
    folders = [last_checkpoint(run) for run in (whole.run, tmp_path / "broken")]
    assert folders[0] is not None and folders[1] is not None and folders[0].name == folders[1].name
    for file in ("model.safetensors", "checkpoint.json", "replay.npz"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()


class Killed(BaseException):
    pass


def killed(_: object) -> float:
    raise Killed


def replay(run: Path) -> np.ndarray:
    folder = last_checkpoint(run)
    assert folder is not None
    with np.load(folder / "replay.npz") as arrays:
        return arrays["rewards"][:, 0]


def test_what_a_reward_lacks_is_named(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["finetune", "--env", SETTING.env, "--base", "zero", "--demos", str(home / "demos"), "--reward", "motion"]
    made = load_demonstration(demonstration_folder(home / "demos", 0))
    save_demonstration(replace(made, recording=None), demonstration_folder(tmp_path / "blind", 0))
    blind = [*asked, "--demos", str(tmp_path / "blind"), "--predictor", str(home / "predictor")]
    for wrong, words in (
        (asked, "needs --predictor"),
        ([*asked, "--predictor", str(tmp_path / "none")], "none"),
        ([*asked, "--predictor", str(home / "predictor"), "--tracker", "eyes"], "there is exact, lucas_kanade"),
        ([*asked, "--predictor", str(home / "predictor"), "--view", "above"], "no kitchen view 'above'"),
        (blind, "demonstration 0 has no recording"),
        (
            [*asked, "--predictor", str(home / "predictor"), "--full_open", "true"],
            "shows 'slide', wanted is 'slide, fully'",
        ),
    ):
        capsys.readouterr()
        assert main([*wrong, "--out", str(tmp_path / "no")]) == 2
        error = capsys.readouterr().err
        assert words in error and len(error.splitlines()) == 1
    assert not (tmp_path / "no").exists()
    with pytest.raises(UserError, match=r"motion, any_motion, vip, .*, paper_sparse, wrong_direction, mean_motion"):
        find_reward("praise", SETTING)


def test_a_tracker_without_weights_is_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match="no cotracker3_offline weights"):
        tracked_from(find_task(TASK), "front", "cotracker3_offline")


def test_practice_goes_from_six_variants_to_a_table(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = experiment(home, tmp_path / "practice")
    assert main([*asked, "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    table = (tmp_path / "practice" / "table.md").read_text()
    for variant in VARIANTS:
        assert f"| `{variant}` |" in table or f"| {variant} |" in table
    assert all("| variant | success minus that of `none` |" in text for text in (table, printed))
    runs = sorted(file.parent.name for file in (tmp_path / "practice" / "runs").glob("*/summary.json"))
    assert len(runs) == 6 and (tmp_path / "practice" / "page.html").stat().st_size > 0
    rows = (tmp_path / "practice" / "evaluation" / "metrics.jsonl").read_bytes()
    assert main([*asked, "--workers", "1"]) == 0
    assert (tmp_path / "practice" / "evaluation" / "metrics.jsonl").read_bytes() == rows, "nothing is done twice"


@pytest.mark.slow
def test_ray_makes_the_runs_that_local_processes_make(home: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # folders as a user names them
    for engine in ("local", "ray"):
        asked = [*experiment(home, Path(engine)), "--variants", "[none, any_motion]", "--engine", engine]
        assert apart(main, [*asked, "--workers", "2", "--against", ""]) == 0
    files = [sorted(p.relative_to(e) for p in Path(e).glob("runs/*/checkpoints/*/*")) for e in ("local", "ray")]
    assert files[0] == files[1] and files[0]
    for file in files[0]:
        assert ("local" / file).read_bytes() == ("ray" / file).read_bytes(), file


def experiment(home: Path, out: Path) -> list[str]:
    """`mpr experiment practice` in miniature."""
    asked = ["experiment", "practice", "--task", TASK, "--base", "zero", "--demos", str(home / "demos")]
    asked += ["--variants", *VARIANTS, "--against", "none"]
    asked += ["--predictor", str(home / "predictor"), "--seeds", "1", "--practice_episodes", "1", "--episodes", "2"]
    return [*asked, "--settings", "pretrain=2 utd=0.1 batch=8 warmup_steps=0", "--videos", "0", "--out", str(out)]
