"""When things happen in a clip and how far the door is at each frame: approach, contact, moves, pauses, leaving.

Only time and the door's one joint; where the hand is follows in `motion.py`. Seconds and radians (metres for a panel).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tracking.synth.appliance import Appliance

DURATION = (0.8, 3.9)  # seconds: shortest and longest "open microwave" of EPIC-KITCHENS-100, whose median is 1.25
CENTRE, SPREAD = 1.1, 0.45  # of the log-normal before it is cut; the median after the cut is 1.25
_FASTEST = {False: np.deg2rad(230.0), True: 1.1}  # mean speed of a move: radians/s, metres/s (a sliding panel)
GAPS = {"pause": (0.1, 0.45), "interruption": (0.45, 0.9), "switch": (0.3, 0.55)}  # seconds
LEAST_DOOR_STEP = {False: np.deg2rad(0.05), True: 2e-4}  # a door that moved less between two frames stood still


@dataclass(frozen=True)
class Phase:
    """A stretch of the clip. Names: approach, contact, move, pause, interruption, switch, hold, leave."""

    name: str
    start: float  # seconds
    stop: float


@dataclass(frozen=True)
class Timing:
    """A clip's clock and door."""

    times: NDArray[np.float64]  # [T] seconds
    door: NDArray[np.float64]  # [T] joint position
    phases: tuple[Phase, ...]  # tile 0 .. last time

    def phase(self, name: str) -> tuple[Phase, ...]:
        return tuple(p for p in self.phases if p.name == name)


def minimum_jerk(u: NDArray) -> NDArray[np.float64]:
    """Smooth step [...] from 0 to 1 over u [...] = 0..1, its speed and acceleration 0 at both ends."""
    u = np.clip(u, 0, 1)
    return u**3 * (10 - 15 * u + 6 * u**2)


def _duration(rng: Generator) -> float:
    """Seconds, log-normal, cut to the range seen."""
    while True:
        value = CENTRE * float(np.exp(rng.normal(0, SPREAD)))
        if DURATION[0] <= value <= DURATION[1]:
            return value


def travel(rng: Generator, a: Appliance) -> tuple[float, float]:
    """Where the door starts (mostly shut) and ends."""
    ajar = rng.uniform() < 0.28
    if a.slides:
        width = a.door_size[0]
        start = float(rng.uniform(0, 0.15)) * width if ajar else 0.0
        return start, float(rng.uniform(0.4, 0.93)) * width
    start = float(rng.uniform(0, 25)) if ajar else 0.0
    return float(np.deg2rad(start)), float(np.deg2rad(rng.uniform(max(35, start + 20), 110)))


def plan(rng: Generator, a: Appliance, rate_hz: float) -> Timing:
    """Draw one opening. The door starts to move after 20-70 % of the clip and never turns back."""
    total = _duration(rng)
    n = max(round(total * rate_hz) + 1, 3)
    total = (n - 1) / rate_hz
    start, final = travel(rng, a)
    fastest = _FASTEST[a.slides]
    need = max(0.3, (final - start) / fastest)  # seconds of movement
    gaps = draw_gaps(rng, a, total - need - 0.35 * total)
    spare = total - need - sum(length for _, length in gaps)  # for what comes before and after the moves
    tail = min(float(rng.uniform(0.1, 0.6)), spare - 0.4 * total) if rng.uniform() < 0.5 else 0.0
    tail = max(tail, 0.0)
    onset = float(rng.uniform(0.2 * total, max(0.2 * total, min(0.7 * total, spare - tail))))
    contact = onset - min(float(rng.exponential(0.1)), 0.4, 0.45 * onset)
    moving = total - onset - tail - sum(length for _, length in gaps)
    shares = rng.dirichlet([6.0] * (len(gaps) + 1))
    phases = [Phase("approach", 0.0, contact), Phase("contact", contact, onset)]
    at = onset
    for k, share in enumerate(shares):
        phases.append(Phase("move", at, at + share * moving))
        at += share * moving
        if k < len(gaps):
            phases.append(Phase(gaps[k][0], at, at + gaps[k][1]))
            at += gaps[k][1]
    phases.append(Phase("leave" if tail > 0.25 and rng.uniform() < 0.7 else "hold", at, total))
    times = np.arange(n) / rate_hz
    door = start + (final - start) * progress(rng, times, [p for p in phases if p.name == "move"])
    return Timing(times, door, tuple(p for p in phases if p.stop - p.start > 1e-9))


def draw_gaps(rng: Generator, a: Appliance, slack: float) -> list[tuple[str, float]]:
    """Pauses (the door stands still mid-way) that fit into `slack` seconds.

    pause: hesitation, hand on the handle; interruption: the hand leaves and comes back; switch: the hand lets go and
    pushes on at the free edge or from inside (hinged doors).
    """
    gaps: list[tuple[str, float]] = []
    for _ in range(int(rng.choice([0, 1, 2], p=[0.42, 0.38, 0.2]))):
        name = str(rng.choice(["pause", "interruption", "pause" if a.slides else "switch"], p=[0.4, 0.3, 0.3]))
        length = float(rng.uniform(*GAPS[name]))
        if length < slack and (name != "switch" or "switch" not in [g[0] for g in gaps]):
            gaps.append((name, length))
            slack -= length
    return sorted(gaps, key=lambda g: g[0] == "switch")  # one does so only when the door is open


def progress(rng: Generator, times: NDArray, moves: list[Phase]) -> NDArray[np.float64]:
    """Share of the travel done at each time [T], 0 to 1: one bell of speed a move, skewed and uneven."""
    fine = np.linspace(times[0], times[-1], 2000)
    speed = np.zeros_like(fine)
    for move in moves:
        u = np.clip((fine - move.start) / (move.stop - move.start), 0, 1)
        warped = u ** rng.uniform(0.7, 1.5)
        uneven = 1 + rng.uniform(0, 0.7) * np.sin(2 * np.pi * rng.uniform(0.8, 2.5) * u + rng.uniform(0, 6.3))
        speed += (warped * (1 - warped)) ** rng.uniform(1.2, 2.2) * uneven
    done = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
    return np.interp(times, fine, done / done[-1])
