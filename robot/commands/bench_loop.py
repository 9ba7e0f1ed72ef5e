"""The loop of `mpr bench robot`, and what is kept of each of its steps."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mpr.core.config import as_dict
from mpr.core.errors import UserError
from mpr.core.processes import cpu_threads
from mpr.core.report.figures import new_figure
from mpr.core.runs import RunFolder, atomic_path
from rl.policies.base_policy import BasePolicy
from robot.commands.bench import RobotBench
from robot.environment import FrankaEnv, Stopped
from robot.hardware.action import ACTION_SIZE
from robot.policies.ahead import AheadActor
from robot.policies.named import KNOWN_STATE_SIZE, base_policy
from robot.session import NO_RESIDUAL, session_environment, watch_session
from robot.station import Station, enter_station, named_station

PERCENTILES = (50, 90, 99, 99.9, 100)


@dataclass
class _Kept:
    """What is kept of every step."""

    late: list[float] = field(default_factory=list)  # seconds after the deadline
    busy: list[float] = field(default_factory=list)  # seconds of work between two
    age: list[float] = field(default_factory=list)  # of the oldest image of an observation, seconds
    unmarked: int = 0  # observations with an image beyond the limit that did not say so
    marked: int = 0
    missed: int = 0  # deadlines
    overruns: int = 0
    starved: int = 0  # steps without an action from the policy
    held: int = 0
    episodes: int = 0


def measure(config: RobotBench) -> None:
    """Run the loop and write what was measured. Raises UserError."""
    with ExitStack() as stack:
        at = stack.enter_context(named_station(config))
        stack.enter_context(cpu_threads(1))  # the loop and the cameras want the other cores
        policy = stack.enter_context(base_policy(config.policy, at, ahead=True)) if config.policy else random_policy(at)
        stack.enter_context(enter_station(at))
        run = RunFolder(config.out, "bench robot", as_dict(config))
        run.keep_metrics(lambda row: False)
        env = session_environment(config, at, policy, run, config.step_limit, policy=config.policy or "random weights")
        stack.enter_context(watch_session(env, wall=True))
        kept = _measured(env, policy, int(config.seconds * config.rate_hz))
    summary = _figures(kept, config.rate_hz)
    _draw(kept, run.path / "jitter.png")
    run.finish(summary)
    print("\n".join(f"{name}: {value}" for name, value in summary.items()))


def random_policy(at: Station) -> BasePolicy:
    """Of the size that `mpr bc --size tiny` trains, seeing all cameras; what it wants is noise about staying."""
    import torch

    from rl.policies.diffusion.encoders import TrainedResNet18
    from rl.policies.diffusion.policy import DiffusionPolicy, PolicyShape
    from rl.policies.diffusion.schedule import Sampler
    from rl.policies.diffusion.sizes import POLICY_SIZES
    from rl.policies.diffusion.views import CameraEncoder

    torch.manual_seed(0)
    tiny = POLICY_SIZES["tiny"]
    sizes = {camera.features.name: (camera.features.height, camera.features.width) for camera in at.cameras}
    seen: dict[str, Any] = {
        "cameras": sizes,
        "encoder": "resnet18",
        "features": TrainedResNet18.width,
        "image": tiny.image,
    }
    policy = DiffusionPolicy(PolicyShape(KNOWN_STATE_SIZE, ACTION_SIZE, widths=tiny.widths, **seen)).requires_grad_(
        False
    )
    return AheadActor(policy, Sampler("ddim", 10), CameraEncoder("resnet18", tiny.image, Path()))


def _measured(env: FrankaEnv, policy: BasePolicy, steps: int) -> _Kept:
    """So many steps, episode after episode."""
    kept, done, seed = _Kept(), 0, 0
    while done < steps:
        try:
            observation, _ = env.reset(seed=seed)
        except Stopped as error:
            raise UserError("the operator quit before the time was over") from error
        seed, kept.episodes, over = seed + 1, kept.episodes + 1, False
        while not over and done < steps:
            observation, _, terminated, truncated, info = env.step(NO_RESIDUAL.act(observation))
            beat, done, over = info["beat"], done + 1, terminated or truncated
            kept.late.append(beat.late)
            kept.busy.append(beat.busy)
            kept.missed += beat.missed
            ages = {name: env.seen.time - image.time for name, image in env.seen.images.items()}
            old = {name for name, age in ages.items() if age > 0.1}  # whatever the limits say
            kept.age.append(max(ages.values()))
            kept.unmarked += bool(old - set(info["stale"]))
            kept.marked += bool(info["stale"])
            kept.held += info["event"] is not None
        kept.overruns += env.pace.overruns
        kept.starved += getattr(policy, "starved", 0)
    return kept


def _figures(kept: _Kept, rate_hz: float) -> dict[str, Any]:
    """What a run kept of its beat, in numbers: lateness, work and images' age in milliseconds, and counts."""

    def spread(values: list[float]) -> dict[str, float]:
        return {
            f"p{p:g}": round(1e3 * float(v), 2)
            for p, v in zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True)
        }

    counts = {
        name: getattr(kept, name)
        for name in ("episodes", "overruns", "missed", "starved", "held", "marked", "unmarked")
    }
    return {
        "steps": len(kept.late),
        "seconds": len(kept.late) / rate_hz,
        "late_ms": spread(kept.late),
        "busy_ms": spread(kept.busy),
        "oldest_image_ms": spread(kept.age),
        **counts,
    }


def _draw(kept: _Kept, path: Path) -> None:
    """Three histograms, counts on a logarithmic axis."""
    figure = new_figure(12, 3.5)
    parts = (("late", kept.late), ("busy", kept.busy), ("oldest image", kept.age))
    for axis, (name, values) in zip(figure.subplots(1, 3), parts, strict=True):
        axis.hist(1e3 * np.array(values), bins=60, log=True, color="#1f9bff")
        axis.set_xlabel(f"{name}, ms")
        axis.set_ylabel("steps")
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
