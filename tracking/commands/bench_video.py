"""`mpr bench video`: frames a second of each stage from a video file to a clip folder, and the memory they take.

The memory should not grow with the video's length.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mpr.core.config import as_dict, parse_config, print_plan
from mpr.core.errors import UserError
from mpr.core.processes import spawn
from mpr.core.runs import RunFolder

BENCH_SQUARE_PX = 96  # pixels of the thing that moves
SWING = 120  # pixels that it moves to and fro


@dataclass(frozen=True)
class VideoBench:
    """Times each stage from a made video to a clip folder, and the memory that tracking takes.

    The stages are decoding, masks, points, storing and overlay. Made videos of several lengths are tracked, each in a
    process of its own.
    """

    seconds: list[float] = field(default_factory=lambda: [10.0, 60.0, 600.0])  # of the videos
    rate_hz: float = 10.0  # of their images
    width: int = 640  # pixels
    height: int = 360  # pixels
    out: Path = Path("runs/bench_video")  # run folder

    def __post_init__(self) -> None:
        if not (all(0.5 <= s < 7200 for s in self.seconds) and 1 <= self.rate_hz <= 240):
            raise UserError("mpr bench video: --seconds lie in 0.5 .. 7200, --rate_hz in 1 .. 240")
        if min(self.width, self.height) < 2 * BENCH_SQUARE_PX or self.width < 2 * BENCH_SQUARE_PX + SWING:
            raise UserError(
                f"mpr bench video: images are at least {2 * BENCH_SQUARE_PX + SWING} x {2 * BENCH_SQUARE_PX}"
            )


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr bench video`. Raises UserError."""
    config, dry_run = parse_config(VideoBench, argv, "mpr bench video")
    if dry_run:
        return print_plan(config, {}, {"frames": [int(s * config.rate_hz) for s in config.seconds]}, config.out)
    from tracking.commands.video_stages import MEASURED, VIDEO_STAGES

    run = RunFolder(config.out, "bench video", as_dict(config))
    run.keep_metrics(lambda row: False)
    lengths = sorted(config.seconds)
    for what, seconds in (("stages", lengths[0]), *(("action", one) for one in lengths)):
        with ProcessPoolExecutor(1, spawn(), max_tasks_per_child=1) as pool:  # its memory is its own
            row = pool.submit(MEASURED[what], config, seconds, run.path / f"video_{seconds:g}").result()
        run.log(what=what, **row)
        print(f"{what}: " + ", ".join(f"{name} {value:.4g}" for name, value in row.items()))
    rows = list(run.metrics())
    peaks = [row["peak_gb"] for row in rows if row["what"] == "action"]
    rates = {name: rows[0]["frames"] / rows[0][name] for name in VIDEO_STAGES}
    print("frames/s: " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()))
    print(f"memory of the longest over that of the shortest: {peaks[-1] / peaks[0]:.3f}")
    run.finish({"frames_per_second": rates, "growth": peaks[-1] / peaks[0], "rows": rows})
