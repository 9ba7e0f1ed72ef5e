"""The station of practice: what `mpr robot run` takes, and what actor and critics are shown of its cameras."""

from __future__ import annotations

from dataclasses import dataclass

from robot.practice.encoder import check_encoder
from robot.station import StationConfig


@dataclass(frozen=True)
class PracticeStationConfig(StationConfig):
    """What all commands beside an arm share, and what a learner sees there."""

    # of the cameras' images, for actor and critics: base (the base policy's own), a frozen one as dinov2, or a run
    # folder of `mpr pretrain`; "": they are shown the arm's state alone
    encoder: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_encoder(self.encoder)
