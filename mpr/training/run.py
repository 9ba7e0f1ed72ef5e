"""One training run, in one process or several ranks: from tracked clips to a predictor, its card and held-out page."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from mpr.core.checkpoints import load_optimizer, read_about
from mpr.core.config import as_dict
from mpr.core.data.clip import TrackedClip
from mpr.core.data.clip_folder import clip_folders
from mpr.core.data.steps import spacing, spacing_summary
from mpr.core.device import resolved_device
from mpr.core.errors import UserError
from mpr.core.fit import Fit
from mpr.core.processes import cpu_threads
from mpr.core.runs import RunFolder, seed_everything, write_atomic
from mpr.predictor.checkpoint import PREDICTOR_CHECKPOINT, Predictor, load_weights, save_predictor_checkpoint
from mpr.predictor.model import MotionModel
from mpr.predictor.samples import lasts_less, refuse_untrainable, retimed, split_groups, strided
from mpr.predictor.sizes import PredictorSize
from mpr.training.clip_cache import cached_clips, clips_digest
from mpr.training.config import TRAIN_FREE_KEYS, TrainConfig
from mpr.training.held_out import compare_with_null_models, validate
from mpr.training.held_out_page import held_out_summary, page
from mpr.training.loop import ERROR_OF, Samples, learning_rate, loader, train_steps
from mpr.training.metrics import mean_motion
from mpr.training.model_card import model_card, write_model_card
from mpr.training.probes import known_scenes
from tracking.motion.compensation import KNOWN_CAMERA
from tracking.motion.known_camera import known_recordings, with_known_camera


def train(config: TrainConfig) -> None:
    """Train as a config asks for, or go on where a killed run was. Raises UserError."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = resolved_device(config.device)
    if world > 1:
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        # Other ranks wait while one decodes all clips, and while it validates: long, and no sign of anything wrong.
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=timedelta(hours=12))
    try:
        with cpu_threads(config.threads):
            _Training(config, config.resolved_size, device).run()
    finally:
        if world > 1:
            dist.destroy_process_group()


class _Training:
    """One run: data, model, loop. Only rank 0 writes."""

    def __init__(self, config: TrainConfig, size: PredictorSize, device: str) -> None:
        self.config, self.device = config, device
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if size.batch % self.world:
            raise UserError(f"--batch {size.batch} cannot be shared by {self.world} ranks")
        folders = clip_folders(config.clips)
        refuse_untrainable(folders)
        cameras = known_recordings(folders) if config.compensate == KNOWN_CAMERA else None
        self.made_of = clips_digest(folders)
        seed_everything(config.seed)
        self.model = MotionModel(size, config.weights).to(device)
        settings = as_dict(config)  # a folder only now: a refused command leaves none behind
        self.folder = RunFolder(config.out, "train", settings, TRAIN_FREE_KEYS) if self.rank == 0 else None
        cache = config.cache or config.out / "cache"
        if self.rank == 0:
            cached_clips(folders, config.cached_size, cache)  # decoded by one rank, opened by all
        if self.world > 1:
            dist.barrier()
        clips = cached_clips(folders, config.cached_size, cache)
        if cameras is not None:
            clips = [with_known_camera(clip, recording) for clip, recording in zip(clips, cameras, strict=True)]
        if config.rate_hz > 0:
            clips, folders = self._retimed(clips, folders)
        kept, held = split_groups(clips, config.val_share, config.seed)
        self.train, self.val = [clips[i] for i in kept], [clips[i] for i in held]
        self.scenes, self.unknown = known_scenes(self.val, [folders[i] for i in held]) if self.rank == 0 else ([], [])
        shown = [fast for clip in self.train for k in range(1, config.strides + 1) for fast in strided(clip, k)]
        self.samples = Samples(
            shown, size.points, config.seed, config.augment, config.fill, config.compensate, size.image, config.moving
        )
        self.spacing = spacing(*((clip.times, clip.gaps) for clip in [*self.train, *self.val]))
        if not len(self.samples):
            gaps = sum(int(clip.gaps.sum()) for clip in self.train)
            but = f" (but for {gaps} gaps, each longer than 1.5 steps)" if gaps else ""
            held = f"the {len(self.train)} clips to train on (others are held out)"
            raise UserError(f"no transition in {held} of {config.clips} shows a moving scene with an object point{but}")
        epoch = math.ceil(len(self.samples) / size.batch)
        self.size = dataclasses.replace(size, steps=config.epochs * epoch) if config.epochs else size

    def run(self) -> None:
        config, size = self.config, self.size
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=size.lr, weight_decay=0.0)
        fit = Fit("train", "step", size.steps, config.checkpoint_every, config.out, self.folder)
        done = fit.resume(lambda checkpoint: self._restore(checkpoint, optimizer)) or 0
        self._announce(sum(p.numel() for p in parameters))
        model: torch.nn.Module = self.model
        if self.world > 1:
            model = torch.nn.parallel.DistributedDataParallel(self.model)
        self.motion = mean_motion(self.train, config.compensate)
        self.card = model_card(config, size, self.train, self.val, sum(p.numel() for p in parameters))
        self.card["made_of"] = self.made_of
        self.card["mean_motion"] = self.motion.tolist()  # pixels of 256: a baseline for the predictor
        batches = loader(self.samples, size.batch, done, size.steps, config.workers, self.rank, self.world)
        steps = train_steps(
            model.train(), optimizer, batches, done,
            lambda s: learning_rate(s, size.steps, size.lr, size.warmup), self.device,
            ERROR_OF[config.loss], config.foreground, config.bfloat16,
        )  # fmt: skip
        fit.loop(
            done, self._rows(steps),
            lambda step: save_predictor_checkpoint(config.out, step, self.model, optimizer, self.card),
            self._summary, beside=lambda row: f"loss={row['loss']:.3f}",
        )  # fmt: skip

    def _retimed(self, clips: list[TrackedClip], folders: list[Path]) -> tuple[list[TrackedClip], list[Path]]:
        """The clips at the configured rate, and their folders; those too short for a single step of it are left out,
        and said to be."""
        step = 1 / self.config.rate_hz
        short = [clip.source.uid for clip in clips if lasts_less(clip, step)]
        if short and self.rank == 0:
            print(f"left out, shorter than one step of {step:.3g} s: {len(short)} clip(s), {', '.join(short[:5])}")
        kept = [i for i, clip in enumerate(clips) if not lasts_less(clip, step)]
        if not kept:
            raise UserError(f"each of {len(clips)} clips is shorter than one step of --rate_hz {self.config.rate_hz:g}")
        return [retimed(clips[i], self.config.rate_hz) for i in kept], [folders[i] for i in kept]

    def _restore(self, checkpoint: Path, optimizer: torch.optim.Optimizer) -> None:
        if (
            read_about(checkpoint, PREDICTOR_CHECKPOINT).get("made_of", self.made_of) != self.made_of
        ):  # versions before did not say it
            raise UserError(
                f"{self.config.out} was trained on other clips than {self.config.clips} now holds: choose another --out"
            )
        load_weights(checkpoint, self.model)
        load_optimizer(checkpoint, optimizer)

    def _announce(self, parameters: int) -> None:
        if self.rank == 0:
            held = f"{len(self.train)} clips, {len(self.val)} held out, {len(self.samples)} samples"
            print(f"{self.config.size}: {parameters / 1e6:.1f} M trained parameters; {held}")
            known = sum(scene is not None for scene in self.scenes)
            why = f" (not known of {len(self.unknown)}: {self.unknown[0]})" if self.unknown else ""
            print(f"held-out clips whose true motion is known: {known} of {len(self.val)}{why}")
            print(f"frames: {spacing_summary(self.spacing)}")

    def _rows(self, steps: Iterator[tuple[int, torch.Tensor]]) -> Iterator[dict[str, float]]:
        """The loss of every step, and at times held-out figures on rank 0."""
        for step, loss in steps:
            row = {"loss": loss.item()}
            if self.rank == 0 and step % self.config.validate_every == 0 and step < self.size.steps:
                row |= self._validate()
            yield row

    def _predictor(self) -> Predictor:
        self.model.eval()
        return Predictor(self.model, self.size, self.card, self.device)

    def _validate(self) -> dict[str, float]:
        row = validate(self._predictor(), self.val, self.config.compensate, every=5, recordings=self.scenes)
        self.model.train()
        return {f"val_{f.name}": getattr(row, f.name).value for f in dataclasses.fields(row)}

    def _summary(self) -> dict[str, Any]:
        """Held-out figures, which are also printed and written beside the card."""
        tables = compare_with_null_models(
            self._predictor(), self.val, self.motion, self.config.compensate, recordings=self.scenes, spare=self.train
        )
        text = page(tables)
        print(text)
        write_atomic(self.config.out / "held_out.md", text + "\n")
        write_model_card(self.config.out, self.card, text)
        told = {"steps": self.size.steps, "mean_motion": self.motion.tolist(), **self.spacing}
        return {**held_out_summary(tables), **told}
