"""`mpr bench rl`: how fast residual RL's updates are beside the other ways to make them, and where an episode's time
goes. All in one run on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from rl.residual.bench_episode import time_episodes
from rl.residual.bench_updates import OURS, PLAIN, updates_per_second
from tracking.config import as_dict, parse, print_plan
from tracking.errors import UserError
from tracking.runs import RunFolder


@dataclass(frozen=True)
class BenchConfig:
    """Times SAC updates of the kitchen's sizes, medians over rounds; then the parts of whole episodes."""

    out: Path = Path("runs/bench_rl")  # run folder
    batch: int = 64  # transitions an update
    rounds: int = 9  # in which each way takes its turn, after one that is not counted
    episodes: int = 2  # of 150 steps in the kitchen, with updates
    compile: bool = True  # compiled updates too, where a C++ compiler is (half a minute more)
    threads: int = 1  # of torch and JAX

    def __post_init__(self) -> None:
        if min(self.batch, self.rounds, self.episodes, self.threads) < 1:
            raise UserError("batch, rounds, episodes and threads are at least 1")


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse(BenchConfig, argv, "mpr bench rl")
    if dry_run:
        return print_plan(config, {}, {}, config.out)
    torch.set_num_threads(config.threads)
    run = RunFolder(config.out, "bench rl", as_dict(config))
    rates = updates_per_second(config.batch, config.rounds, compile=config.compile)
    for name, value in rates.items():
        print(f"{value:8.0f} updates/s  {value / rates[PLAIN]:.2f} times the plain way  {name}")
    times = time_episodes(config.episodes, config.batch)
    print(times)
    ratio = rates[OURS] / rates[PLAIN]
    run.finish({"updates_per_second": rates, "ratio": ratio, "episodes": asdict(times) | {"shares": times.shares}})
