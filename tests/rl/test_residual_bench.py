"""The benchmark of residual RL: what runs and is printed, and that the times of an episode's parts add up."""

from __future__ import annotations

import importlib.util
import json

import pytest

pytest.importorskip("gymnasium_robotics")

from mpr.cli import main
from mpr.core.errors import NoGL
from rl.commands import bench_episode
from rl.commands.bench_episode import EpisodeTimes, PartsWatch
from rl.commands.bench_updates import OURS, PLAIN


def test_time_inside_another_part_is_counted_once():
    now = iter([0, 1, 3, 4, 5, 6, 10, 100])
    watch = PartsWatch(lambda: next(now))
    look = watch.timed("camera", lambda: None)
    watch.timed("base policy", lambda: (look(), look()))()  # 0 .. 6, two looks of 2 and 1 inside
    watch.timed("updates", lambda: None)()
    assert watch.seconds == {"camera": 3, "base policy": 3, "updates": 90}
    assert watch.calls == {"camera": 2, "base policy": 1, "updates": 1}


def test_the_benchmark_says_its_ratio_and_where_an_episodes_time_goes(tmp_path, capsys, monkeypatch):
    def dark(*_):
        raise NoGL("no GL")

    monkeypatch.setattr(bench_episode.KitchenImages, "now", dark)
    monkeypatch.setattr(bench_episode.KitchenImages, "open", dark)
    asked = ["bench", "rl", "--rounds", "1", "--batch", "8", "--episodes", "1", "--compile", "false"]
    assert main([*asked, "--out", str(tmp_path / "bench")]) == 0
    summary, printed = json.loads((tmp_path / "bench" / "summary.json").read_text()), capsys.readouterr().out
    rates, episode = summary["updates_per_second"], summary["episodes"]
    sbx = importlib.util.find_spec("sbx") is not None
    assert len(rates) == 3 + sbx and all(rate > 0 for rate in rates.values())
    assert summary["ratio"] == rates[OURS] / rates[PLAIN] and "times the plain way" in printed
    assert ("SBX: not installed (pip install sbx-rl), not measured" in printed) != sbx
    assert (episode["episodes"], episode["steps"], episode["updates"]) == (1, 150, 600)
    assert episode["rewards"] == {} and "episodes_compiled" not in summary
    assert episode["images"] == 0 and "camera, not rendered: no GL" in printed
    assert all(s > 0 for part, s in episode["seconds"].items() if part != "camera")
    assert sum(episode["shares"].values()) == pytest.approx(1)


@pytest.mark.gl
def test_images_are_taken_when_a_policy_with_cameras_would_look():
    times = bench_episode.time_episodes(1, batch=2)
    # the first; two for each of 18 more chunks, as the policy sees two steps; none of an episode to come
    assert times.images == 1 + 2 * 18 and times.seconds["camera"] > 0
    assert list(times.rewards) == ["exact", "lucas_kanade"] and min(times.rewards.values()) > 0


def test_the_same_episodes_done_two_ways_stand_beside_each_other():
    before, after = (
        EpisodeTimes(1, 150, 600, 0, {"updates": updates, "camera": 0.0, "reward": 1.0}, {}) for updates in (4.0, 2.0)
    )
    assert after.beside(before).splitlines() == [
        "    4.00 s     2.00 s  2.00 times  updates",
        "    1.00 s     1.00 s  1.00 times  reward",
        "    5.00 s     3.00 s  1.67 times  all of it",
    ]
