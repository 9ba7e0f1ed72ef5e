"""What actor and critics are shown of the cameras, beside the arm's state."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mpr.core.checkpoints import last_checkpoint
from mpr.core.errors import UserError
from rl.environments.registry import kind_of
from rl.environments.setting import Setting
from rl.policies.diffusion.policy import DiffusionActor, DiffusionPolicy, PolicyShape
from rl.policies.diffusion.schedule import Sampler
from rl.policies.diffusion.sizes import Horizons
from rl.policies.diffusion.views import CameraEncoder
from rl.residual.demonstrations import fill_buffer, label_all
from rl.residual.inputs import base_statistics
from robot.hardware.action import ACTION_SIZE
from robot.learning.config import SessionConfig
from robot.learning.kept import kept_episode
from robot.practice.environment import ArmPractice
from robot.practice.features import NO_FEATURES, ImageFeatures, image_features
from robot.recording.recorder import episode_folders
from tests.rl.sac_runs import assert_same_checkpoints
from tests.robot.learning_here import begin, config, here, toys  # noqa: F401
from tests.robot.table import Table
from tests.toy_robot_episodes import robot_episode
from tests.toy_station import SIDE


def brightness(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Two numbers an image."""
    flat = frames.reshape(len(frames), -1).astype(np.float32)
    return np.stack([flat.mean(1), flat.std(1)], axis=1)


def seeing(*cameras: str, side: tuple[int, int] = (SIDE, SIDE)) -> ImageFeatures:
    return ImageFeatures(dict.fromkeys(cameras, brightness), dict.fromkeys(cameras, side))


def trained_base(*cameras: str) -> DiffusionActor:
    torch.manual_seed(0)
    sizes = dict.fromkeys(cameras, (SIDE, SIDE))
    shape = PolicyShape(8, ACTION_SIZE, sizes, "resnet18", 512, 32, (32, 64), 32, Horizons(2, 4, 2))
    policy = DiffusionPolicy(shape)
    return DiffusionActor(policy, Sampler("ddim", 2), CameraEncoder("resnet18", 32, Path()), lambda step: {})


@settings(max_examples=15, deadline=None)
@given(steps=st.integers(1, 70), cameras=st.sets(st.sampled_from(["world", "wrist"])))
def test_a_recorded_episode_has_the_features_of_its_views_one_by_one(steps: int, cameras: set[str]) -> None:
    features = seeing(*sorted(cameras), side=(48, 64))
    episode = robot_episode(3, steps, ("world", "wrist"))
    found = features.of_episode(episode)
    assert found.shape == (steps + 1, features.size) == (steps + 1, 2 * len(cameras)) and found.dtype == np.float32
    for t in range(steps + 1):
        seen = {name: np.asarray(frames[t]) for name, frames in episode.frames.items()}
        np.testing.assert_array_equal(found[t], features.of(seen))


def test_features_stand_between_state_and_base_action() -> None:
    table = Table()
    environment = ArmPractice(table.env, features=seeing("wrist", "world"))
    observation, _ = environment.reset(seed=0)
    assert observation.shape == environment.observation_space.shape == (8 + 4 + 8,)
    images = {name: image.image for name, image in table.env.seen.images.items()}
    np.testing.assert_array_equal(observation[8:12], environment.features.of(images))
    assert (environment.state_slice, environment.base_slice) == (slice(0, 8), slice(12, 20))
    without = ArmPractice(Table().env).reset(seed=0)[0]
    np.testing.assert_array_equal(np.delete(observation, range(8, 12)), without)


def test_a_demonstration_is_learned_from_with_what_its_cameras_saw() -> None:
    table = Table()
    environment = ArmPractice(table.env, features=seeing("world", side=(48, 64)))
    episode = robot_episode(0, 5, ("world",), states=np.random.default_rng(0).normal(size=(6, 8)), seed=0)
    labelled = label_all([episode], environment)
    buffer = fill_buffer(labelled, [np.zeros(5, np.float32)], environment)
    rows = buffer.arrays()
    np.testing.assert_allclose(rows["observations"][:, 0, :8], episode.states[:-1], rtol=1e-6)
    np.testing.assert_array_equal(rows["observations"][:, 0, 8:10], environment.features.of_episode(episode)[:-1])
    lacking = robot_episode(0, 5, ("wrist",), states=episode.states, seed=0)
    with pytest.raises(UserError, match="was seen by wrist, --encoder looks through world"):
        label_all([lacking], environment)


def test_base_s_own_encoders_are_asked() -> None:
    base, cameras = trained_base("wrist"), Table().cameras
    features = image_features("base", base, cameras)
    assert features.size == 512
    image = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    assert base.camera_encoder is not None
    with torch.no_grad():
        wanted = base.policy.encoders[0](torch.from_numpy(base.camera_encoder(image[None])))[0].numpy()
    np.testing.assert_array_equal(features.of({"wrist": image, "world": image}), wanted)
    assert image_features("", base, cameras) is NO_FEATURES


def test_what_is_no_encoder_is_refused() -> None:
    with pytest.raises(UserError, match="looks through no camera"):
        image_features("base", Table().base, Table().cameras)
    with pytest.raises(UserError, match="no encoder 'resnet81'; there is base, dinov2, r3m18"):
        SessionConfig(encoder="resnet81")
    with pytest.raises(UserError, match="is trained along with a policy: say base"):
        SessionConfig(encoder="resnet18")
    with pytest.raises(UserError, match="patch tokens"):
        SessionConfig(encoder="vit")
    with pytest.raises(UserError, match="no R3M weights"):
        image_features("r3m18", Table().base, Table().cameras)


def test_a_session_that_sees_goes_on_where_it_was(tmp_path: Path) -> None:
    def below(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        return brightness(frames[:, 1:])  # but for the toy's number of the image, which is its clock's

    def session(out: Path, episodes: int) -> None:
        asked = config(out, episodes=episodes, encoder="base")  # of the toy base, which has none: they are given
        begin(asked, toys(), features=ImageFeatures({"world": below}, {"world": (SIDE, SIDE)}))

    session(tmp_path / "whole", 4)
    for episodes in (2, 4):
        session(tmp_path / "broken", episodes)
    whole, broken = (last_checkpoint(tmp_path / name / "learner") for name in ("whole", "broken"))
    assert whole is not None and broken is not None
    assert_same_checkpoints(whole, broken)
    practised = kept_episode(tmp_path / "whole/practised", max(episode_folders(tmp_path / "whole/episodes")))
    assert practised.observations.shape[1] == 8 + 2 + ACTION_SIZE and (practised.observations[:, 8] == 100).all()


def test_the_encoder_is_what_evaluation_has_to_be_told() -> None:
    options = SessionConfig(encoder="base", size=64).learner().env_options
    assert options == "size=64 encoder=base"
    assert kind_of("twin:microwave").observation_size(Setting("twin:microwave", options=options)) is None
    assert kind_of("twin:microwave").observation_size(Setting("twin:microwave")) == 16


def test_an_encoder_that_is_too_slow_for_the_guard_is_refused() -> None:
    def slow(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        time.sleep(0.03)
        return brightness(frames)

    features = ImageFeatures({"world": slow}, {"world": (SIDE, SIDE)})
    features.check_pace(10.0)
    with pytest.raises(UserError, match="what is seen would be too old to act on"):
        features.check_pace(0.02)


def test_another_encoder_s_weights_are_another_policy_s(tmp_path: Path) -> None:
    kind = kind_of("twin:microwave")
    for name in ("one", "other"):
        folder = tmp_path / name / "checkpoints/0000001"
        folder.mkdir(parents=True)
        (folder / "checkpoint.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(name.encode())
    made = [kind.made_of(Setting("twin:microwave", options=f"encoder={tmp_path / n}")) for n in ("one", "one", "other")]
    assert made[0] == made[1] != made[2] and made[0]["encoder_weights"]
    assert kind.made_of(Setting("twin:microwave")) == {}


def test_a_place_with_a_space_in_its_name_is_one_option(tmp_path: Path) -> None:
    (tmp_path / "my rep").mkdir()
    options = SessionConfig(encoder=str(tmp_path / "my rep"), out=tmp_path).learner().env_options
    assert kind_of("twin:microwave").observation_size(Setting("twin:microwave", options=options)) is None


def test_statistics_of_a_base_policy_are_not_those_of_features() -> None:
    table = Table()
    table.env.base = trained_base()
    with pytest.raises(UserError, match="normalise_inputs"):
        base_statistics(ArmPractice(table.env, features=seeing("world")))
    assert len(base_statistics(ArmPractice(table.env))["centre"]) == 16


def test_the_twin_renders_for_who_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    from robot.practice import features as module

    made: list[list[str]] = []

    def known(encoder: str, base: Any, cameras: Any, device: str) -> ImageFeatures:
        made.append([camera.features.name for camera in cameras])
        return seeing(*made[-1], side=(32, 32)) if encoder else NO_FEATURES

    monkeypatch.setattr(module, "image_features", known)
    for options, there in (("size=32", []), ("size=32 encoder=base", ["world", "wrist"])):
        with ExitStack() as stack:
            setting = Setting("twin:microwave", Path("stay"), options=options)
            environment = stack.enter_context(kind_of("twin:microwave").open(setting))
            assert environment.reset(seed=0)[0].shape == (16 + 2 * len(there),)
        assert made[-1] == there
