"""What stable-baselines3 logs, as TensorBoard's points. Not its own writer: that draws a resumed run's points twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import KVWriter
from torch.utils.tensorboard import SummaryWriter


class Board(KVWriter):
    """Numbers alone. Points of step `first` and later that stand in the folder already are not shown any more."""

    def __init__(self, folder: Path, first: int) -> None:
        self.writer = SummaryWriter(str(folder), purge_step=first)

    def write(self, key_values: Mapping[str, Any], key_excluded: Mapping[str, tuple[str, ...]], step: int = 0) -> None:
        for name, value in key_values.items():
            if "tensorboard" not in (key_excluded.get(name) or ()):
                self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
