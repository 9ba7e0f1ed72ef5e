"""What a reward says of each step of an episode on the arm: made while it goes on, or of the finished episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from mpr.core.beside import ProcessGone
from mpr.core.data.clip import Square
from mpr.core.data.crop import square_around
from mpr.core.data.episode import Episode
from mpr.core.errors import UserError
from mpr.reward.model import RewardModel
from mpr.reward.streaming_process import StreamedObject, StreamingReward
from rl.residual.rewards import find_reward, step_signal
from robot.learning.config import MOTION, SessionConfig
from robot.station import Station
from tracking.masks.box_mask import check_box

AROUND = 0.5  # of the box's larger side, on each side of it: what opens goes beyond


class EpisodeSignal:
    """Of a reward that is asked when the episode is over. `gone`: what had to be begun again for the last one."""

    gone = ""

    def __init__(self, reward: RewardModel) -> None:
        self.reward = reward

    def begin(self) -> None:
        """An episode begins."""

    def saw(self, images: Mapping[str, NDArray[np.uint8]], time_s: float) -> None:
        """What the cameras show, each its image [H, W, 3], at each of its T+1 times."""

    def of(self, episode: Episode) -> NDArray[np.float32]:
        """The signal [T] of the episode that has just ended."""
        return step_signal(self.reward, episode)


class MotionSignal(EpisodeSignal):
    """Of the motion reward, in a process beside the control path, through one camera."""

    def __init__(self, streaming: StreamingReward, camera: str) -> None:
        self.streaming, self.camera = streaming, camera

    def begin(self) -> None:
        self.streaming.begin()

    def saw(self, images: Mapping[str, NDArray[np.uint8]], time_s: float) -> None:
        """Hand its own camera's image [H, W, 3] over."""
        self.streaming.frame(images[self.camera], time_s)

    def of(self, episode: Episode) -> NDArray[np.float32]:
        """Its signal [T]; where the process is gone, another makes it of what was filmed. Raises UserError."""
        self.gone = ""
        try:
            found = self.streaming.finish()
        except ProcessGone as gone:
            self.gone = str(gone)
            self.streaming.again()
            self.show(episode)
            found = self.streaming.finish()
        return np.where(episode.log.unsent(len(episode)), np.float32(0), found)

    def show(self, episode: Episode) -> None:
        """Give it a whole episode's frames. Raises UserError where its camera saw none of it."""
        if self.camera not in episode.frames:
            there = ", ".join(episode.frames) or "no camera"
            raise UserError(f"episode {episode.seed} was seen by {there}, the reward looks through {self.camera}")
        self.begin()
        frames = episode.frames[self.camera]
        for t, time_s in enumerate(episode.times):
            self.saw({self.camera: np.asarray(frames[t])}, float(time_s))


@contextmanager
def signal_of(config: SessionConfig, at: Station) -> Iterator[EpisodeSignal]:
    """The session's. Raises UserError for a camera that is not there and a predictor that does not serve."""
    if config.reward != MOTION:
        yield EpisodeSignal(find_reward(config.reward, config.learner().setting))
        return
    sizes = {camera.features.name: (camera.features.width, camera.features.height) for camera in at.cameras}
    if config.camera not in sizes:
        raise UserError(f"--camera {config.camera}: here there is {', '.join(sizes)}")
    assert config.predictor is not None and config.box is not None
    x0, y0, x1, y1 = map(float, check_box(config.box, *sizes[config.camera]))
    followed = StreamedObject((x0, y0, x1, y1), square_of(config.box, sizes[config.camera]), config.rate_hz)
    with StreamingReward(config.predictor, followed) as streaming:
        if streaming.remark:
            at.operator.say(streaming.remark)
        yield MotionSignal(streaming, config.camera)


def square_of(box: tuple[int, int, int, int], image: tuple[int, int]) -> Square:
    """The one square in which every episode is looked at, around the box, in images of that width and height."""
    x0, y0, x1, y1 = box
    return square_around(np.array([x0, y0]), np.array([x1, y1]), image, AROUND)


def signal_of_demonstration(signal: EpisodeSignal, demonstration: Episode) -> NDArray[np.float32]:
    """The signal [T] of a demonstration, shown as an episode would be. Raises UserError where it has no frames."""
    if isinstance(signal, MotionSignal):
        signal.show(demonstration)
    return signal.of(demonstration)
