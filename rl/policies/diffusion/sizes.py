"""What diffusion policies are made of, by name and number: sizes, horizons, encoders. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpr.predictor.registry import Encoder

RESNET18 = Encoder(features="rl.policies.diffusion.encoders:trained_resnet18", width=512)
R3M18, R3M34, R3M50 = (
    Encoder(features=f"rl.policies.diffusion.encoders:r3m{n}", frozen=True, weights=Path(f"weights/r3m{n}/model.pt"))
    for n in (18, 34, 50)
)


@dataclass(frozen=True)
class PolicySize:
    """A U-Net and the training that goes with it."""

    widths: tuple[int, ...]  # channels
    image: int  # pixels, short side, that an encoder trained along sees
    steps: int  # default optimisation steps
    batch: int  # default batch size
    betas: tuple[float, float]  # AdamW's


POLICY_SIZES = {
    "tiny": PolicySize((32, 64, 128), 96, 6000, 64, (0.95, 0.999)),  # states: minutes on one core, a chunk in 25 ms
    "small": PolicySize((64, 128, 256), 96, 10_000, 64, (0.95, 0.999)),
    # The paper's 94.8 M parameters, batch and betas; of its 1000 epochs say --epochs 1000.
    "paper": PolicySize((256, 512, 1024), 240, 30_000, 64, (0.9, 0.95)),
}


@dataclass(frozen=True)
class Horizons:
    """Steps that a policy sees, foretells and runs before it looks again."""

    observation: int = 2
    prediction: int = 16
    action: int = 8

    def __post_init__(self) -> None:
        if min(self.observation, self.prediction, self.action) < 1:
            raise ValueError(f"horizons are 1 or more: {self}")
        if self.observation - 1 + self.action > self.prediction:
            raise ValueError(f"{self}: {self.action} steps from the present on reach past the prediction")
