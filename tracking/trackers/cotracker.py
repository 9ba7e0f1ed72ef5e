"""CoTracker3 (Karaev et al., arXiv 2410.11831), offline and online, through the PointTracker Protocol.

Code and weights are not ours and not here: the package `cotracker` or a copy that torch.hub keeps, and a file of
weights (`load_cotracker`). Frames and points stay in the caller's pixels; the predictor resizes by itself. Tracks run
forwards: before its query's frame a point is hidden. A point that is covered and seen again within a window is the
model's own claim, and kept.
"""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from mpr.core.data.clip import FrameSource, Tracks
from mpr.core.errors import MissingWeights, NotReady, UserError, in_brief
from mpr.core.weights import Published
from tracking.trackers.stitching import track_in_windows

_LICENCE = "CC-BY-NC 4.0: non-commercial use only"
_SOURCE = "https://huggingface.co/facebook/cotracker3/resolve/main"
COTRACKER_FILES = {"cotracker3_offline": "scaled_offline.pth", "cotracker3_online": "scaled_online.pth"}
HUB_COPY = "facebookresearch_co-tracker_main"  # the folder that torch.hub makes of facebookresearch/co-tracker
_ALTERNATIVE = "or take --tracker lucas_kanade, which needs none"
COTRACKER_WEIGHTS = {
    name: Published(name, f"wget {_SOURCE}/{file} -O {{}}", _LICENCE, instead=_ALTERNATIVE)
    for name, file in COTRACKER_FILES.items()
}


class CoTracker:
    """What both CoTracker3 models share: loading, checking of queries, tracking in batches.

    `predictor` is the library's own; `context` the frames it wants to see at once, and the most whose images are
    held.
    """

    name: str
    context: int

    def __init__(self, predictor: Any, device: str = "cpu") -> None:
        self.predictor, self.device = predictor.to(device).eval(), device
        self.context = predictor.model.window_len

    @classmethod
    def inputs(cls, weights: Path | None = None) -> dict[str, Path]:
        """The file that `load` will read. Raises MissingWeights."""
        return {"weights": find_weights(cls.name, weights)}

    @classmethod
    def load(cls, weights: Path | None = None, device: str = "cpu") -> CoTracker:
        """As `load_cotracker`, by its name in the registry."""
        return load_cotracker(cls.name, weights, device)

    def track(self, frames: FrameSource, queries: NDArray[np.float32]) -> Tracks:
        """Queries [N, 3] = (t, x, y) to points [T, N, 2] in pixels and visible [T, N], as the Protocol says.

        Raises UserError for a query that is outside the frames' times or not finite.
        """
        return self.track_batch([frames], [queries])[0]

    def track_batch(self, clips: Sequence[FrameSource], queries: Sequence[NDArray[np.float32]]) -> list[Tracks]:
        """Do as `track` for several clips at once: of one length and frame size, with as many queries [N, 3] each."""
        asked = _checked(clips, queries)
        b, n = asked.shape[:2]
        if not n:
            empty = np.zeros((len(clips[0]), 0, 2), np.float32)
            return [Tracks(empty, np.zeros(empty.shape[:2], bool)) for _ in clips]
        with CopyingViews() if b > 1 else nullcontext():
            found = self._follow(clips, asked)
        return [Tracks(found.points[:, i * n : (i + 1) * n], found.visible[:, i * n : (i + 1) * n]) for i in range(b)]

    def _follow(self, clips: Sequence[FrameSource], queries: NDArray[np.float32]) -> Tracks:
        """Queries [B, N, 3] of B clips to tracks of B * N points, clip after clip."""
        raise NotImplementedError

    def _video(self, clips: Sequence[FrameSource], start: int, stop: int) -> torch.Tensor:
        """Frames start .. stop - 1 as the predictor takes them: float [B, T, 3, H, W], 0 .. 255."""
        frames = np.stack([np.stack([clip[t] for t in range(start, min(stop, len(clip)))]) for clip in clips])
        return torch.from_numpy(frames).to(self.device).permute(0, 1, 4, 2, 3).float()

    def _queries(self, queries: NDArray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(queries, np.float32)).to(self.device)


class CoTrackerOffline(CoTracker):
    """The model that sees a whole window, past and future. Longer clips go through windows that overlap by half."""

    name = "cotracker3_offline"

    def _follow(self, clips: Sequence[FrameSource], queries: NDArray[np.float32]) -> Tracks:
        def window(start: int, stop: int, asked: NDArray[np.float32]) -> Tracks:
            video = self._video(clips, start, stop)
            return _flat(*self.predictor(video, queries=self._queries(asked.reshape(queries.shape))))

        return track_in_windows(window, len(clips[0]), queries.reshape(-1, 3), self.context, self.context // 2)


class CoTrackerOnline(CoTracker):
    """The model that streams: chunks of a window, half a window on at a time. It remembers points, not frames."""

    name = "cotracker3_online"

    def _follow(self, clips: Sequence[FrameSource], queries: NDArray[np.float32]) -> Tracks:
        length, step = len(clips[0]), self.predictor.step
        answer = self.predictor(self._video(clips, 0, 1), is_first_step=True, queries=self._queries(queries))
        for start in range(0, max(length - step, 1), step):
            answer = self.predictor(self._video(clips, start, start + 2 * step))  # of all frames so far
        self.predictor.model.init_video_online_processing()  # lets go of what it remembers
        found = _flat(*answer)
        asked = queries.reshape(-1, 3)
        before = np.arange(length)[:, None] < asked[:, 0].astype(int)
        return Tracks(np.where(before[..., None], asked[:, 1:], found.points), found.visible & ~before)


class CopyingViews(TorchFunctionMode):
    """Makes `Tensor.view` copy where it must, for as long as this is open.

    The library's models, given more than one clip, take a view of a tensor that has none (its issue 163), and compute
    the right thing once it is a copy.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (torch.Tensor.reshape if func is torch.Tensor.view else func)(*args, **(kwargs or {}))


def _flat(points: Any, visible: Any) -> Tracks:
    """The predictor's [B, T, N, 2] and [B, T, N] as [T, B * N, 2] and [T, B * N]."""
    b, t, n = visible.shape
    points, visible = points.permute(1, 0, 2, 3).reshape(t, b * n, 2), visible.permute(1, 0, 2).reshape(t, b * n)
    return Tracks(points.float().cpu().numpy(), visible.cpu().numpy())


def _checked(clips: Sequence[FrameSource], queries: Sequence[NDArray]) -> NDArray[np.float32]:
    """Queries [B, N, 3]. Raises UserError where clips or queries do not go together, or a query is none."""
    if not clips or not all(len(clip) for clip in clips):
        raise UserError("CoTracker: no clip, or one without frames")
    shapes = {(len(clip), *clip[0].shape, *np.shape(asked)) for clip, asked in zip(clips, queries, strict=True)}
    if len(shapes) != 1:
        raise UserError(
            f"CoTracker takes clips of one length and size, with as many queries each, not {sorted(shapes)}"
        )
    length, *_, three = shapes.pop()
    asked = np.stack(queries).astype(np.float32)
    if asked.ndim != 3 or three != 3:
        raise UserError(f"CoTracker queries are [N, 3] = (t, x, y), not {asked.shape[1:]}")
    if not np.isfinite(asked).all() or ((asked[..., 0] < 0) | (asked[..., 0] >= length)).any():
        raise UserError(f"CoTracker: a query is not finite, or its frame is none of the clip's {length}")
    return asked


def load_cotracker(name: str, weights: Path | None = None, device: str = "cpu") -> CoTracker:
    """`cotracker3_offline` or `cotracker3_online` with weights from a file; says their licence, once.

    Without `weights`, the file is looked for in weights/ and where torch.hub keeps its downloads. Nothing is
    downloaded and nothing unpickled that could run code. Raises MissingWeights, or UserError where the package is
    missing or the file is not this model's.
    """
    file = find_weights(name, weights)
    with torch.random.fork_rng(range(torch.cuda.device_count())):  # importing the package seeds torch
        predictor = _predictor(name)
    _fill(predictor.model, file, name)
    _say_licence()
    return (CoTrackerOnline if name == "cotracker3_online" else CoTrackerOffline)(predictor, device)


def find_weights(name: str, weights: Path | None = None) -> Path:
    """The model's file of weights. Raises MissingWeights."""
    file = COTRACKER_FILES[name]
    asked = [Path(weights)] if weights else [Path("weights", file), Path(torch.hub.get_dir(), "checkpoints", file)]
    for path in asked:
        if path.is_file():
            return path
    raise COTRACKER_WEIGHTS[name].missing(asked[0])


def _predictor(name: str) -> Any:
    """The library's predictor, with whatever weights it starts from."""
    try:
        from cotracker.predictor import CoTrackerOnlinePredictor, CoTrackerPredictor  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "cotracker":
            raise MissingWeights(f"the package `cotracker` needs {error.name}, which is not installed") from error
        copy = Path(torch.hub.get_dir(), HUB_COPY)
        if not (copy / "hubconf.py").is_file():
            raise MissingWeights(
                f"CoTracker3 needs the package `cotracker` (pip install git+https://github.com/facebookresearch/"
                f"co-tracker) or torch.hub's copy at {copy} (licence {_LICENCE}), {_ALTERNATIVE}"
            ) from error
        return torch.hub.load(str(copy), name, source="local", pretrained=False)
    return CoTrackerOnlinePredictor(None) if name == "cotracker3_online" else CoTrackerPredictor(None)


def _fill(model: torch.nn.Module, file: Path, name: str) -> None:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        model.load_state_dict(state.get("model", state))
    except (pickle.UnpicklingError, RuntimeError, AttributeError, TypeError, EOFError, ValueError, KeyError) as error:
        why = in_brief(error)
        raise NotReady(
            f"{file} is not {COTRACKER_FILES[name]}, the weights of {name} ({why}): get it from {_SOURCE}"
        ) from error


@functools.cache
def _say_licence() -> None:
    print(f"CoTracker3, code and weights by Meta: {_LICENCE}", file=sys.stderr)
