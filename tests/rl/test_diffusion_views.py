"""Cameras of the diffusion policy: encoders against the libraries' own, frames made ready once, a policy that sees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mpr.core.errors import MissingWeights, UserError
from mpr.predictor.registry import find_encoder
from rl.commands.bc import main
from rl.data.demonstrations import save_demonstration
from rl.policies.diffusion.checkpoint import load_actor
from rl.policies.diffusion.encoders import FrozenDinoClass, FrozenR3M, TrainedResNet18, middle_224
from rl.policies.diffusion.schedule import Sampler
from rl.policies.diffusion.sizes import POLICY_SIZES, PolicySize
from rl.policies.diffusion.views import CameraEncoder, cached_view, shrunk
from tests.toy_demonstrations import toy_demonstration

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 240, 320, 3), dtype=np.uint8)
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def library_pixels(frames: np.ndarray) -> Tensor:
    """What R3M's authors do to a frame, in torchvision's words: 0..255 until the model divides."""
    from torchvision import transforms

    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    x = transforms.CenterCrop(224)(transforms.Resize(256, antialias=True)(x))
    return transforms.Normalize(MEAN.tolist(), STD.tolist())(x / 255)


def r3m_file(file: Path, depth: str) -> nn.Module:
    """Random weights in the layout of R3M's model.pt; returns torchvision's network with the same weights."""
    import torchvision.models

    torch.manual_seed(0)
    network = getattr(torchvision.models, depth)(weights=None)
    network.fc = nn.Identity()
    state = {f"module.convnet.{name}": value for name, value in network.state_dict().items()}
    state |= {
        "module.lang_enc.model.embeddings.weight": torch.zeros(2, 3),
        "module.lang_rew.pred.0.bias": torch.ones(1),
    }
    torch.save({"r3m": state, "global_step": 3}, file)
    return network.eval()


@pytest.mark.parametrize(("name", "depth", "width"), [("r3m18", "resnet18", 512), ("r3m50", "resnet50", 2048)])
def test_r3m_s_file_loads_and_gives_the_library_s_features(name: str, depth: str, width: int, tmp_path: Path) -> None:
    network = r3m_file(tmp_path / "model.pt", depth)
    encoder = find_encoder(name).make_features(tmp_path / "model.pt")
    encoder.train()  # frozen: BatchNorm stays as it was trained
    assert encoder.width == width and not any(p.requires_grad for p in encoder.parameters())
    with torch.no_grad():
        wanted = network(library_pixels(FRAMES))
    torch.testing.assert_close(encoder(torch.from_numpy(FRAMES)), wanted, rtol=1e-3, atol=1e-3)


def test_frames_are_fed_as_r3m_s_authors_do_whatever_their_shape() -> None:
    for shape in ((240, 320), (320, 200), (256, 256), (128, 128)):
        frames = np.random.default_rng(1).integers(0, 256, (1, *shape, 3), dtype=np.uint8)
        ours = (middle_224(torch.from_numpy(frames)) / 255 - MEAN) / STD
        torch.testing.assert_close(ours.permute(0, 3, 1, 2), library_pixels(frames), rtol=1e-4, atol=1e-4)


def test_dinov2_gives_its_class_token(tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=224, patch_size=14)
    model = Dinov2Model(config).eval()
    model.save_pretrained(tmp_path)
    encoder = FrozenDinoClass(tmp_path).train()
    with torch.no_grad():
        wanted = model(pixel_values=library_pixels(FRAMES)).pooler_output
    assert encoder.width == 24
    torch.testing.assert_close(encoder(torch.from_numpy(FRAMES)), wanted, rtol=1e-3, atol=1e-3)


def test_missing_or_wrong_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"model\.pt.*r3m_34.*licence MIT.*--encoder resnet18") as error:
        FrozenR3M("r3m34", tmp_path / "model.pt")
    assert "\n" not in str(error.value)
    with pytest.raises(MissingWeights, match=r"hf download facebook/dinov2-small.*Apache-2\.0.*--encoder resnet18"):
        FrozenDinoClass(tmp_path)
    r3m_file(tmp_path / "model.pt", "resnet18")
    with pytest.raises(UserError, match=r"is no r3m34: its weight .* another depth"):
        FrozenR3M("r3m34", tmp_path / "model.pt")
    (tmp_path / "model.pt").write_bytes(b"no weights at all")
    with pytest.raises(UserError, match=r"is not R3M's model\.pt"):
        FrozenR3M("r3m18", tmp_path / "model.pt")


def test_the_trained_encoder_has_no_batch_statistics() -> None:
    encoder = TrainedResNet18()
    kinds = {type(m) for m in encoder.modules()}
    assert nn.GroupNorm in kinds and nn.BatchNorm2d not in kinds
    assert f"{sum(p.numel() for p in encoder.parameters()) / 1e6:.3f}" == "11.177"  # without its classifier
    pair = torch.from_numpy(np.stack([shrunk(frame, 32) for frame in FRAMES]))
    assert pair.shape == (2, 32, 43, 3)
    torch.testing.assert_close(encoder.train()(pair)[:1], encoder.eval()(pair[:1]), rtol=1e-3, atol=1e-4)


def test_frames_are_made_ready_once_in_the_demonstrations_order(tmp_path: Path) -> None:
    demonstrations = [toy_demonstration(i, length=40 + i, cameras=("front",)) for i in range(2)]
    camera_encoder = CameraEncoder("resnet18", 12, tmp_path)
    view = cached_view(demonstrations, "front", camera_encoder, tmp_path, "12px")
    assert view.shape == (41 + 42, 12, 16, 3) and view.dtype == np.uint8
    for row, (demonstration, t) in {0: (0, 0), 40: (0, 40), 41: (1, 0), 82: (1, 41)}.items():
        np.testing.assert_array_equal(view[row], shrunk(demonstrations[demonstration].frames["front"][t], 12))
    files = set(tmp_path.iterdir())
    cached_view(demonstrations, "front", None, tmp_path, "12px")  # type: ignore[arg-type]  nothing is made again
    assert set(tmp_path.iterdir()) == files and len(files) == 1


@pytest.mark.parametrize("encoder", ["resnet18", "r3m18"])
def test_a_policy_that_sees_trains_and_acts_by_what_it_sees(encoder: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(POLICY_SIZES, "tiny", PolicySize((16, 32), 24, 3, 4, (0.95, 0.999)))
    weights = tmp_path / "model.pt"
    r3m_file(weights, "resnet18")
    for seed in range(2):
        demonstration = toy_demonstration(seed, length=9, cameras=("front", "wrist"))
        save_demonstration(demonstration, tmp_path / "demos" / f"demonstration_{seed:06d}")
    argv = ["--demos", str(tmp_path / "demos"), "--out", str(tmp_path / "run"), "--size", "tiny", "--device", "cpu"]
    argv += ["--cameras", "[front, wrist]", "--encoder", encoder, "--encoder_weights", str(weights), "--lr", "0.01"]
    main(argv)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 3
    rng, asked = np.random.default_rng(2), []
    images = {name: rng.integers(0, 256, (24, 32, 3), dtype=np.uint8) for name in ("front", "wrist")}

    def look(t: int) -> dict[str, np.ndarray]:
        asked.append(t)
        return images

    actor = load_actor(tmp_path / "run", Sampler(steps=2), look)

    def episode() -> np.ndarray:
        actor.reset(0)
        return np.stack([actor.act(np.zeros(3)) for _ in range(9)])

    first = episode()
    assert asked == [0, 7, 8]  # the steps that a chunk is planned from
    np.testing.assert_array_equal(first, episode())
    images["wrist"] = 255 - images["wrist"]
    assert np.abs(first - episode()).max() > 1e-6
    with pytest.raises(ValueError, match="front, wrist needs camera_encoder and look"):
        load_actor(tmp_path / "run", Sampler())
    weights.unlink()
    if encoder == "r3m18":  # its checkpoint says where the weights are, and does not hold them
        with pytest.raises(MissingWeights, match=r"no R3M weights at .*model\.pt"):
            load_actor(tmp_path / "run", Sampler(), look)
