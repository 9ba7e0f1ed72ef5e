"""`mpr bench rl`: how fast residual RL's updates are, and where an episode's time goes.

Updates are timed beside the other ways to make them. All in one run on one machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mpr.core.config import as_dict, parse_config, print_plan
from mpr.core.errors import UserError
from mpr.core.processes import cpu_threads
from mpr.core.runs import RunFolder


@dataclass(frozen=True)
class LearnerBenchConfig:
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
    """Entry of `mpr bench rl`: measures and prints, with the threads asked for."""
    config, dry_run = parse_config(LearnerBenchConfig, argv, "mpr bench rl")
    if dry_run:
        return print_plan(config, {}, {}, config.out)
    with cpu_threads(config.threads):
        _measure(config)


def _measure(config: LearnerBenchConfig) -> None:
    """Time updates, and episodes with plain and compiled ones, print what they took, write it into the summary."""
    from rl.commands.bench_episode import time_episodes
    from rl.commands.bench_updates import COMPILED, OURS, PLAIN, updates_per_second

    run = RunFolder(config.out, "bench rl", as_dict(config))
    rates = updates_per_second(config.batch, config.rounds, compile=config.compile)
    for name, value in rates.items():
        print(f"{value:8.0f} updates/s  {value / rates[PLAIN]:.2f} times the plain way  {name}")
    times = time_episodes(config.episodes, config.batch)
    print(times)
    found = {"updates_per_second": rates, "ratio": rates[OURS] / rates[PLAIN]}
    found["episodes"] = asdict(times) | {"shares": times.shares}
    if COMPILED in rates:
        compiled = time_episodes(config.episodes, config.batch, compiled=True)
        print(f"the same with plain updates, with compiled ones, and the ratio:\n{compiled.beside(times)}")
        found["episodes_compiled"] = asdict(compiled) | {"shares": compiled.shares}
    run.finish(found)
