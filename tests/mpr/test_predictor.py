"""The predictor's symmetries and start, the paper's parameter count, and encoders against the library's own output."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mpr.core.data.clip import CROP_SIZE
from mpr.core.errors import MissingWeights, NotReady
from mpr.predictor.encoders import FrozenDino, SmallViT
from mpr.predictor.model import MotionModel, predictor_shape
from mpr.predictor.network import MotionPredictor, PredictorShape, sampled_tokens, sinusoidal
from mpr.predictor.sizes import PREDICTOR_SIZES, resized

SHAPES = [PredictorShape(32, 2, 2, 16), PredictorShape(32, 2, 2, 16, point_bands=4, local_tokens=True)]


def shaken(shape: PredictorShape, seed: int = 0) -> MotionPredictor:
    """A predictor whose zero-initialised layers are not zero any more."""
    torch.manual_seed(seed)
    model = MotionPredictor(shape).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * (0.3 if parameter.dim() == 1 else parameter.shape[1] ** -0.5)
    return model


def inputs(b: int = 2, n: int = 9, s: int = 8, d: int = 16) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    points, progress = torch.rand(b, n, 2, generator=g), torch.rand(b, generator=g)
    return torch.randn(b, s, d, generator=g), points, progress, torch.ones(b, n, dtype=torch.bool)


def test_the_paper_size_has_557_9_million_trained_parameters() -> None:
    with torch.device("meta"):
        model = MotionPredictor(predictor_shape(PREDICTOR_SIZES["paper"], 384))
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == 557.9
    assert (
        PREDICTOR_SIZES["paper"].points == 300
        and PREDICTOR_SIZES["paper"].point_bands == 0
        and not PREDICTOR_SIZES["paper"].local_tokens
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_untrained_is_identity(shape: PredictorShape) -> None:
    tokens, points, progress, valid = inputs()
    torch.testing.assert_close(MotionPredictor(shape)(tokens, points, progress, valid), points, rtol=0, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_points_have_no_order(shape: PredictorShape) -> None:
    model = shaken(shape)
    tokens, points, progress, valid = inputs()
    valid[0, 3:6] = False
    order = torch.tensor([4, 0, 8, 2, 1, 7, 3, 6, 5])
    out = model(tokens, points, progress, valid)
    turned = model(tokens, points[:, order], progress, valid[:, order])
    assert (out - points).abs().max() > 1e-3
    torch.testing.assert_close(turned, out[:, order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_invalid_point_changes_no_other(shape: PredictorShape) -> None:
    model = shaken(shape)
    tokens, points, progress, valid = inputs()
    valid[:, 6:] = False
    out = model(tokens, points, progress, valid)
    for junk in (0.9, float("nan"), 1e6):
        other = points.clone()
        other[:, 6:] = junk
        changed = model(tokens, other, progress, valid)
        torch.testing.assert_close(changed[:, :6], out[:, :6], rtol=0, atol=0)
    alone = model(tokens, points[:, :6], progress, valid[:, :6])
    torch.testing.assert_close(alone, out[:, :6], rtol=1e-4, atol=1e-6)


def test_valid_points_do_change_each_other() -> None:
    model = shaken(SHAPES[0])
    tokens, points, progress, valid = inputs()
    other = points.clone()
    other[:, 8] = 0.1
    assert (model(tokens, other, progress, valid) - model(tokens, points, progress, valid))[:, 0].abs().max() > 1e-6


def test_progress_reaches_the_embedder_times_a_thousand() -> None:
    seen: list[Tensor] = []
    model = shaken(SHAPES[0])
    model.embed_progress.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    tokens, points, _, valid = inputs()
    model(tokens, points, torch.tensor([0.25, 1.0]), valid)
    torch.testing.assert_close(seen[0], sinusoidal(torch.tensor([250.0, 1000.0])))
    assert (seen[0][0] - seen[0][1]).abs().max() > 0.5


def test_the_condition_is_progress_alone_and_tokens_come_by_cross_attention() -> None:
    model = shaken(SHAPES[0])
    tokens, points, progress, valid = inputs()
    for block in model.blocks:
        torch.nn.init.zeros_(block.cross.out.weight)  # type: ignore[union-attr, arg-type]
    a, b = model(tokens, points, progress, valid), model(tokens + 1, points, progress, valid)
    torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert (model(tokens, points, progress * 0.5, valid) - a).abs().max() > 1e-5


def test_previous_and_current_frame_are_told_apart() -> None:
    model = shaken(SHAPES[0])
    tokens, points, progress, valid = inputs()
    swapped = torch.cat([tokens[:, 4:], tokens[:, :4]], 1)
    difference = model(swapped, points, progress, valid) - model(tokens, points, progress, valid)
    assert difference.abs().max() > 1e-5


def test_tokens_are_sampled_at_the_points() -> None:
    grid = 4
    cell = CROP_SIZE / grid
    ramp = torch.arange(grid).float()
    now = torch.stack(torch.meshgrid(ramp, ramp, indexing="xy"), -1).reshape(1, -1, 2)  # token = its own (x, y)
    tokens = torch.cat([now, now + 10], 1)
    centres = torch.tensor([[[0.5 * cell - 0.5, 1.5 * cell - 0.5], [2.5 * cell - 0.5, 0.5 * cell - 0.5]]])
    found = sampled_tokens(tokens, centres / (CROP_SIZE - 1))
    torch.testing.assert_close(found, torch.tensor([[[0.0, 1, 10, 11], [2, 0, 12, 10]]]), atol=1e-4, rtol=0)


def test_small_vit_gives_row_major_tokens_of_its_grid() -> None:
    torch.manual_seed(0)
    encoder = SmallViT(64, 16, 32, 0, 2).eval()
    frames = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    frames[1, 0:14, 50:64] = 255  # only the top right patch
    tokens = encoder(frames)
    assert tokens.shape == (2, 16, 32)
    change = (tokens[1] - tokens[0]).abs().sum(-1)
    assert int(change.argmax()) == 3


def test_foreground_cells_lie_where_their_tokens_do() -> None:
    """The current frame's token j in row-major order fills block j of the image, its outputs the block's cells."""

    class Known(torch.nn.Module):
        grid, width = 2, 5

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            tokens = torch.eye(4, 5).repeat(len(frames), 1, 1)
            tokens[::2] = 1000.0  # the previous frame's
            return tokens

    model = MotionModel(resized(PREDICTOR_SIZES["tiny"], width=16, depth=1, heads=2))
    model.encoder = Known()  # type: ignore[assignment]
    model.predictor = MotionPredictor(PredictorShape(16, 1, 2, 5))
    model.foreground = torch.nn.Linear(5, 16)
    model.foreground.weight.data = 100 * torch.arange(5.0).expand(16, 5)
    model.foreground.bias.data = torch.arange(16.0)
    frames = torch.zeros(1, 2, 8, 8, 3, dtype=torch.uint8)
    _, logits = model(frames, torch.zeros(1, 3, 2), torch.zeros(1), torch.ones(1, 3, dtype=torch.bool))
    assert logits is not None
    blocks = 100 * torch.tensor([[0.0, 1.0], [2.0, 3.0]]).repeat_interleave(4, 0).repeat_interleave(4, 1)
    torch.testing.assert_close(logits[0], blocks + torch.arange(16.0).view(4, 4).repeat(2, 2))


@pytest.fixture(scope="module")
def tiny_dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14)
    Dinov2Model(config).save_pretrained(folder)
    return folder


def test_dino_tokens_equal_the_librarys_own(tiny_dino: Path) -> None:
    from transformers import BitImageProcessor, Dinov2Model

    frames = torch.randint(0, 256, (2, 56, 56, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    processor = BitImageProcessor(
        do_resize=False, do_center_crop=False, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]
    )
    pixels = processor(list(frames.numpy()), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        wanted = Dinov2Model.from_pretrained(tiny_dino).eval()(pixel_values=pixels).last_hidden_state[:, 1:]
    encoder = FrozenDino(tiny_dino, 56).train()  # train() must not wake it
    torch.testing.assert_close(encoder(frames), wanted, rtol=0, atol=1e-5)
    assert encoder(frames).shape == (2, 16, 32)
    assert not any(p.requires_grad for p in encoder.parameters())
    larger = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    assert encoder(larger).shape == (1, 16, 32)


def test_dino_trains_the_predictor_alone(tiny_dino: Path) -> None:
    size = dataclasses.replace(PREDICTOR_SIZES["paper"], image=56, width=32, depth=1, heads=2, points=6)
    model = MotionModel(size, tiny_dino)
    frames = torch.zeros(1, 2, 56, 56, 3, dtype=torch.uint8)
    _, points, progress, valid = inputs(b=1, n=6)
    model(frames, points, progress, valid)[0].sum().backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert model.predictor.head.bias.grad is not None


def test_missing_dino_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"facebook/dinov2-small.*Apache-2\.0.*--encoder vit"):
        FrozenDino(tmp_path / "nothing", 224)


def test_torn_or_foreign_dino_weights_are_named(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    transformers.Dinov2Model(transformers.Dinov2Config(**small, image_size=56, patch_size=14)).save_pretrained(tmp_path)
    assert FrozenDino(tmp_path, 56).width == 24
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(NotReady, match="does not hold DINOv2's weights whole"):
        FrozenDino(tmp_path, 56)
    transformers.ViTModel(transformers.ViTConfig(**small)).save_pretrained(tmp_path)
    with pytest.raises(NotReady, match=r"a model of type vit, not DINOv2 \(dinov2\)"):
        FrozenDino(tmp_path, 56)
