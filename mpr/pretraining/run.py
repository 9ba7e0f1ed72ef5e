"""One run of `mpr pretrain`: from clips to a representation, its card and held-out figure."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpr.core.checkpoints import last_checkpoint, load_optimizer, read_about
from mpr.core.config import as_dict
from mpr.core.device import resolved_device
from mpr.core.errors import UserError
from mpr.core.fit import Fit
from mpr.core.processes import cpu_threads
from mpr.core.registry import attribute
from mpr.core.runs import RunFolder, seed_everything, write_atomic
from mpr.pretraining.card import representation_card, write_representation_card
from mpr.pretraining.config import OBJECTIVES, PRETRAIN_FREE_KEYS, PretrainConfig
from mpr.pretraining.data import chosen_clips, decoded_stretches
from mpr.pretraining.objective import FEWEST_FRAMES, Objective
from mpr.pretraining.samples import FrameSamples
from mpr.pretraining.value_order import ValuesOf, order_figures, order_page, pixel_order
from mpr.representations.checkpoint import (
    REPRESENTATION_CHECKPOINT,
    Representation,
    fill_weights,
    save_representation,
)
from mpr.representations.model import EmbeddingModel
from mpr.training.loop import learning_rate, loader

WARM_STEPS, TIMED_STEPS = 2, 6  # before a run that is given minutes: how long a step takes


def pretrain(config: PretrainConfig) -> None:
    """Train as a config asks for, or go on where a killed run was. Raises UserError."""
    with cpu_threads(config.threads):
        _Pretraining(config, resolved_device(config.device)).run()


class _Pretraining:
    """One run: data, model, objective, loop."""

    def __init__(self, config: PretrainConfig, device: str) -> None:
        self.config, self.device, self.size = config, device, config.resolved_size
        self.clips = chosen_clips(config)
        self.model, self.objective = self._fresh(config.seed)
        settings = as_dict(config)  # a folder only now: a refused command leaves none behind
        self.folder = RunFolder(config.out, "pretrain", settings, PRETRAIN_FREE_KEYS)
        parts, self.held_out = decoded_stretches(config, self.clips)
        self.samples = FrameSamples(
            parts, self.objective, self.size.image, config.seed, config.crop, config.flip,
            config.colour,
        )  # fmt: skip
        self.optimizer = self._optimizer(self.model, self.objective)
        self.before_s = 0.0  # of the processor, spent on training before this process
        self.started_s = time.process_time()

    def _fresh(self, seed: int) -> tuple[EmbeddingModel, Objective]:
        """Model and objective before any training."""
        seed_everything(seed)
        model = EmbeddingModel(self.size, self.config.width)
        objective = attribute(OBJECTIVES[self.config.objective]).of(self.config, self.config.width)
        objective.head.to(self.device)
        return model.to(self.device), objective

    def _optimizer(self, model: EmbeddingModel, objective: Objective) -> torch.optim.Optimizer:
        return torch.optim.AdamW([*model.parameters(), *objective.head.parameters()], lr=self.size.lr, weight_decay=0.0)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for part in (self.model, self.objective.head) for p in part.parameters())

    @property
    def core_minutes(self) -> float:
        """Of training so far, of all processes that the run went through."""
        return (self.before_s + time.process_time() - self.started_s) / 60

    def run(self) -> None:
        config = self.config
        short = self.clips.short
        if short:
            few = f"under {FEWEST_FRAMES} frames in a row that show the object"
            print(f"left out, {few}: {len(short)} clip(s), {', '.join(short[:5])}")
        steps = self._steps()
        fit = Fit("pretrain", "step", steps, config.checkpoint_every, config.out, self.folder)
        done = fit.resume(self._restore) or 0
        print(
            f"{config.objective}: {self.parameters / 1e6:.1f} M trained parameters; {len(self.clips.train)} clips, "
            f"{len(self.clips.val)} held out; {steps} steps of {self.size.batch} clips"
        )
        self.card = representation_card(config, self.size, self.clips.train, self.clips.val, len(short))
        self.card |= {"steps": steps, "made_of": self.clips.made_of}
        self.started_s = time.process_time()
        rows = self._rows(self.model, self.objective, self.optimizer, done, steps)
        fit.loop(done, rows, self._save, self._summary, beside=lambda row: f"loss={row['loss']:.3f}")

    def _steps(self) -> int:
        """How many steps the run has: as many as were asked for, as its checkpoint says, or as its minutes hold."""
        config = self.config
        if not config.minutes:
            return self.size.steps
        if (found := last_checkpoint(config.out)) is not None:
            return int(read_about(found, REPRESENTATION_CHECKPOINT)["steps"])
        model, objective = copy.deepcopy((self.model, self.objective))
        state, spent = torch.get_rng_state(), []
        rows = self._rows(model, objective, self._optimizer(model, objective), 0, WARM_STEPS + TIMED_STEPS)
        start = time.process_time()
        for _ in rows:
            spent.append(time.process_time() - start)
        torch.set_rng_state(state)
        step_s = (spent[-1] - spent[WARM_STEPS - 1]) / TIMED_STEPS
        steps = max(1, round(60 * config.minutes / step_s))
        print(f"{config.minutes:g} core-minutes hold {steps} steps of {step_s:.2f} s")
        return steps

    def _rows(
        self, model: EmbeddingModel, objective: Objective, optimizer: torch.optim.Optimizer, done: int, steps: int
    ) -> Iterator[dict[str, float]]:
        """The loss of every step after `done`. Raises UserError where it is no number."""
        size = self.size
        model.train()
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for step, batch in enumerate(loader(self.samples, size.batch, done, steps), done):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, size.lr, size.warmup)
            frames, progress = batch["frames"].to(self.device), batch["progress"].to(self.device)
            embedded = model(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
            loss = objective.loss(embedded, progress, np.random.default_rng((self.config.seed, 3, step)))
            value = loss.item()
            if not math.isfinite(value):
                raise UserError(
                    f"the loss of step {step + 1} is {value}: a lower --lr than {size.lr:g} may help; what was trained "
                    f"up to the last checkpoint stays in {self.config.out}"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            yield {"loss": value}

    def _restore(self, checkpoint: Path) -> None:
        about = read_about(checkpoint, REPRESENTATION_CHECKPOINT)
        if about["made_of"] != self.clips.made_of:
            raise UserError(
                f"{self.config.out} was trained on other clips than {self.config.clips} now holds: choose another --out"
            )
        fill_weights(checkpoint, self.model, self.objective.head)
        load_optimizer(checkpoint, self.optimizer)
        self.before_s = 60 * about["core_minutes"]

    def _save(self, step: int) -> None:
        about = self.card | {"core_minutes": self.core_minutes}
        save_representation(self.config.out, step, self.model, self.objective.head, self.optimizer, about)

    def _order(self, model: EmbeddingModel, objective: Objective) -> ValuesOf:
        """What an encoder and its objective say of the order of a clip's frames."""
        embed = Representation(model, self.size, device=self.device)
        objective.head.eval().cpu()
        return lambda frames: objective.order(embed(frames))

    def _summary(self) -> dict[str, Any]:
        """The held-out figure, which is also printed and written beside the card."""
        spent = self.core_minutes
        untrained = self._fresh(self.config.seed + 1)
        rows = {
            "trained": self._order(self.model, self.objective),
            "untrained": self._order(*untrained),
            "pixels": pixel_order,
        }
        figures = order_figures(self.held_out, rows)
        text = order_page(figures, self.config.objective, self.objective.order_in_words)
        print(text)
        write_atomic(self.config.out / "held_out.md", text + "\n")
        write_representation_card(self.config.out, self.card, self.parameters, text)
        order = {name: vars(figure) for name, figure in figures.items()}
        return {"steps": self.card["steps"], "core_minutes": spent, "value_order_correlation": order}
