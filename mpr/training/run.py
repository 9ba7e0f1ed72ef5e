"""`mpr train`: tracked clips in, a run folder with a trained motion predictor out. Killed at any moment, it resumes."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from tqdm import tqdm

from mpr.augment import Augment
from mpr.checkpoint import Predictor, last_checkpoint, load_optimizer, load_weights, save_checkpoint
from mpr.clip_cache import cache_bytes, cached_clips
from mpr.metrics import Figures, compare, mean_motion, table
from mpr.model_card import model_card, write_model_card
from mpr.predictor import MotionPredictor
from mpr.samples import Fill, lasts_less, refuse_untrainable, retimed, split_groups, strided
from mpr.sizes import DINO_WIDTH, ENCODERS, SIZES, MotionModel, Size, predictor_shape, resized
from mpr.training import LOSSES, Samples, learning_rate, loader, train_steps
from tracking.clip import CROP_SIZE, TrackedClip
from tracking.compensation import Compensation
from tracking.config import as_dict, parse, print_plan
from tracking.device import check_device, resolved_device
from tracking.errors import UserError
from tracking.runs import RunFolder, seed_everything, write_atomic
from tracking.store import clip_folders


@dataclass(frozen=True)
class TrainConfig:
    """Train a motion predictor on tracked clips of the task done."""

    clips: Path = Path("clips")  # folder of clip folders, from `mpr synth` or `mpr track`
    out: Path = Path("runs/predictor")  # run folder
    size: str = "tiny"  # tiny, laptop or paper: model, points and schedule; the keys that follow change parts of it
    steps: int | None = None  # optimisation steps
    batch: int | None = None  # samples a step, over all ranks
    lr: float | None = None  # peak learning rate
    image: int | None = None  # pixels a side that the encoder sees
    points: int | None = None  # points per sample
    patch: int | None = None  # embedded encoder: pixels a side of a token
    encoder: str | None = None  # vit (embedded, trained along) or dinov2 (frozen; weights needed)
    encoder_weights: Path = Path("weights/dinov2-small")  # folder with DINOv2's config.json and model.safetensors
    point_bands: int | None = None  # Fourier bands of a point's embedding; 0: the paper's linear map
    local_tokens: bool | None = None  # add the visual tokens at each point to its embedding
    moving: float = 0.95  # share of samples in which the object stands out from the camera's residue (0: as they come)
    loss: str = "relative"  # relative (to each sample's own motion: slow and fast ones count alike) or squared (paper)
    foreground: float = 0.3  # weight of telling the object's pixels: teaches the embedded encoder to see (paper: 0)
    epochs: int = 0  # if above 0: passes over the data, instead of steps (the paper's count)
    seed: int = 0  # weights, order, augmentation and split
    rate_hz: float = 12.5  # clips are re-timed to this rate; 0: left at their own
    strides: int = 2  # clips are also shown at 1/2 .. 1/strides of the rate
    compensate: Compensation = "affine"  # camera motion taken out of clips; mean is the paper's
    fill: Fill = "repeat"  # too few points: repeat them (paper) or pad them with a validity mask
    val_share: float = 0.1  # of the groups (videos, participants, appliances), held out
    augment: Augment = field(default_factory=Augment)  # what is done to training samples
    checkpoint_every: int = 250  # steps
    validate_every: int = 500  # steps
    threads: int = 1  # CPU threads; another number gives other last bits
    workers: int = 0  # loader processes
    device: str = "auto"  # auto, cpu, cuda
    bfloat16: bool = False  # autocast, for GPUs
    cache: Path | None = None  # where decoded clips lie (default: in the run folder)

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise UserError(f"no size '{self.size}'; there is {', '.join(SIZES)}")
        if self.fill not in ("repeat", "pad"):
            raise UserError(f"--fill {self.fill}: it is repeat or pad")
        if self.loss not in LOSSES:
            raise UserError(f"no loss '{self.loss}'; there is {', '.join(LOSSES)}")
        if not 0 < self.val_share < 1:
            raise UserError(f"--val_share {self.val_share}: it lies between 0 and 1")
        if not 0 <= self.moving < 1:
            raise UserError(f"--moving {self.moving}: it lies in 0 .. 1, 1 excluded")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"--{name} {value}: it is {least} or more")
        if self.lr is not None and self.lr <= 0:
            raise UserError(f"--lr {self.lr}: it is above 0")
        size = self.resolved_size
        if size.encoder not in ENCODERS:
            raise UserError(f"no encoder '{size.encoder}'; there is {', '.join(ENCODERS)}")
        if size.encoder == "vit" and (size.patch % 2 or size.image % size.patch):
            raise UserError(f"--patch {size.patch}: it is even and divides --image {size.image}")
        check_device(self.device)

    @property
    def resolved_size(self) -> Size:
        keys = ("steps", "batch", "lr", "image", "points", "patch", "encoder", "point_bands", "local_tokens")
        return resized(SIZES[self.size], **{key: getattr(self, key) for key in keys})

    @property
    def cached_size(self) -> int:
        """Pixels a side of decoded frames: enlarging around an object needs the pixels that it enlarges."""
        return CROP_SIZE if self.augment.affine else self.resolved_size.image


# Least values of numbers (points: two of the object and one of the background).
LEAST = dict.fromkeys(("steps", "batch", "image", "threads", "strides", "checkpoint_every", "validate_every"), 1)
LEAST |= dict.fromkeys(("point_bands", "epochs", "seed", "rate_hz", "foreground", "workers"), 0)
LEAST |= {"points": 3, "patch": 2}
FREE = ("out", "cache", "workers", "checkpoint_every")  # may differ when a run is resumed


def main(argv: Sequence[str]) -> None:
    config, dry_run = parse(TrainConfig, argv, prog="mpr train")
    size = config.resolved_size
    if dry_run:
        return _plan(config, size)
    torch.set_num_threads(config.threads)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = resolved_device(config.device)
    if world > 1:
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        # Other ranks wait while one decodes all clips, and while it validates: long, and no sign of anything wrong.
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=timedelta(hours=12))
    try:
        Training(config, size, device).run()
    finally:
        if world > 1:
            dist.destroy_process_group()


def _plan(config: TrainConfig, size: Size) -> None:
    facts: dict[str, object] = {"size": dataclasses.asdict(size)}
    inputs = {"clips": config.clips}
    if size.encoder == "dinov2":
        inputs["encoder_weights"] = config.encoder_weights
    with torch.device("meta"):
        model = MotionPredictor(predictor_shape(size, DINO_WIDTH)) if size.encoder == "dinov2" else MotionModel(size)
        facts["trained parameters"] = sum(p.numel() for p in model.parameters())
    if config.clips.exists():
        folders = clip_folders(config.clips)
        facts["clips"] = len(folders)
        facts["decoded clips, GB"] = round(cache_bytes(folders, config.cached_size) / 1e9, 3)
    print_plan(config, inputs, facts, config.out)


class Training:
    """One run: data, model, loop. Rank 0 alone writes."""

    def __init__(self, config: TrainConfig, size: Size, device: str) -> None:
        self.config, self.device = config, device
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if size.batch % self.world:
            raise UserError(f"--batch {size.batch} cannot be shared by {self.world} ranks")
        folders = clip_folders(config.clips)
        refuse_untrainable(folders)
        seed_everything(config.seed)
        self.model = MotionModel(size, config.encoder_weights).to(device)
        if self.rank == 0:  # only now: a refused command leaves no folder behind
            self.folder = RunFolder(config.out, "train", as_dict(config), FREE)
        cache = config.cache or config.out / "cache"
        if self.rank == 0:
            cached_clips(folders, config.cached_size, cache)  # decoded by one rank, opened by all
        if self.world > 1:
            dist.barrier()
        clips = cached_clips(folders, config.cached_size, cache)
        if config.rate_hz > 0:
            clips = self._retimed(clips)
        kept, held = split_groups(clips, config.val_share, config.seed)
        self.train, self.val = [clips[i] for i in kept], [clips[i] for i in held]
        shown = [fast for clip in self.train for k in range(1, config.strides + 1) for fast in strided(clip, k)]
        self.samples = Samples(
            shown, size.points, config.seed, config.augment, config.fill, config.compensate, size.image, config.moving
        )
        if not len(self.samples):
            raise UserError(f"no transition in {config.clips} shows a moving scene with an object point")
        epoch = math.ceil(len(self.samples) / size.batch)
        self.size = dataclasses.replace(size, steps=config.epochs * epoch) if config.epochs else size

    def run(self) -> None:
        config, size = self.config, self.size
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=size.lr, weight_decay=0.0)
        done = self._resume(optimizer)
        self._announce(sum(p.numel() for p in parameters), done)
        model: torch.nn.Module = self.model
        if self.world > 1:
            model = torch.nn.parallel.DistributedDataParallel(self.model)
        self.motion = mean_motion(self.train, config.compensate)
        self.card = model_card(config, size, self.train, self.val, sum(p.numel() for p in parameters))
        self.card["mean_motion"] = self.motion.tolist()  # pixels of 256: a stand-in for the predictor
        batches = loader(self.samples, size.batch, done, size.steps, config.workers, self.rank, self.world)
        steps = train_steps(
            model.train(), optimizer, batches, done,
            lambda s: learning_rate(s, size.steps, size.lr, size.warmup), self.device,
            LOSSES[config.loss], config.foreground, config.bfloat16,
        )  # fmt: skip
        self._loop(steps, optimizer, done)
        if self.rank == 0:
            self._finish()

    def _retimed(self, clips: list[TrackedClip]) -> list[TrackedClip]:
        """The clips at the configured rate; those too short for a single step of it are left out, and said to be."""
        step = 1 / self.config.rate_hz
        short = [clip.source.uid for clip in clips if lasts_less(clip, step)]
        if short and self.rank == 0:
            print(f"left out, shorter than one step of {step:.3g} s: {len(short)} clip(s), {', '.join(short[:5])}")
        return [retimed(clip, self.config.rate_hz) for clip in clips if not lasts_less(clip, step)]

    def _resume(self, optimizer: torch.optim.Optimizer) -> int:
        found = last_checkpoint(self.config.out)
        if found is None:
            if self.rank == 0:
                self.folder.keep_metrics(lambda row: False)
            return 0
        load_weights(found, self.model)
        load_optimizer(found, optimizer)
        done = int(found.name)
        if self.rank == 0:
            self.folder.keep_metrics(lambda row: row["step"] <= done)
        return done

    def _announce(self, parameters: int, done: int) -> None:
        if self.rank == 0:
            held = f"{len(self.train)} clips, {len(self.val)} held out, {len(self.samples)} samples"
            print(f"{self.config.size}: {parameters / 1e6:.1f} M trained parameters; {held}")
            if done:
                print(f"resuming after step {done} of {self.size.steps}")

    def _loop(self, steps, optimizer: torch.optim.Optimizer, done: int) -> None:
        """Drive the steps; log, validate and save on rank 0."""
        config, size = self.config, self.size
        if self.rank:
            for _ in steps:
                pass
            return
        from torch.utils.tensorboard import SummaryWriter

        board = SummaryWriter(str(config.out / "tensorboard"), purge_step=done + 1)
        with tqdm(total=size.steps, initial=done, unit="step", desc="train") as bar:
            for step, loss in steps:
                value = loss.item()
                row: dict[str, float] = {"step": step, "loss": value}
                if step % config.validate_every == 0 and step < size.steps:
                    row |= self._validate()
                self.folder.log(**row)
                for key, number in row.items():
                    board.add_scalar(key, number, step)
                if step % config.checkpoint_every == 0 or step == size.steps:
                    save_checkpoint(config.out, step, self.model, optimizer, self.card)
                bar.update()
                bar.set_postfix(loss=f"{value:.3f}", refresh=False)
        board.close()

    def _compare(self, every: int) -> dict[str, Figures]:
        self.model.eval()
        predictor = Predictor(self.model, self.size, self.card, self.device)
        found = compare(predictor, self.val, self.motion, self.config.compensate, every)
        self.model.train()
        return found

    def _validate(self) -> dict[str, float]:
        row = self._compare(every=5)["predictor"]
        return {f"val_{f.name}": getattr(row, f.name).value for f in dataclasses.fields(row)}

    def _finish(self) -> None:
        rows = self._compare(every=1)
        text = table(rows)
        print(f"held-out groups, 95 % intervals over {len(self.val)} clips\n\n{text}")
        write_atomic(self.config.out / "held_out.md", text + "\n")
        summary = {name: dataclasses.asdict(row) for name, row in rows.items()}
        write_model_card(self.config.out, self.card, text)
        self.folder.finish({"held_out": summary, "steps": self.size.steps, "mean_motion": self.motion.tolist()})
