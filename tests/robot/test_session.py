"""Sessions on a toy arm: each episode is on disk before the next begins; redone ones are not kept; they go on."""

from __future__ import annotations

import signal
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mpr.core.data.episode import Episode
from mpr.core.data.episode_folder import load_episode, save_episode
from robot.hardware.camera import CameraImage
from robot.recording.recorder import Recorder
from robot.session import episode_summary, session
from robot.teleop.operator import Answer, Mark
from tests.robot.table import Table
from tests.toy_station import ToyOperator


def run(table: Table, root: Path, count: int) -> list[str]:
    return [folder.name for folder in session(table.env, Recorder(root), count, seed=40)]


def test_an_episode_is_whole_on_disk_before_the_next_begins(tmp_path: Path) -> None:
    table = Table()
    there: list[int] = []
    table.operator.when_asked = lambda question: there.append(len(list(tmp_path.glob("episode_*/SHA256SUMS"))))
    assert run(table, tmp_path, 3) == ["episode_000000", "episode_000001", "episode_000002"]
    assert there == [0, 1, 2] and table.operator.seeds == [40, 41, 42]
    for k in range(3):
        episode = load_episode(tmp_path / f"episode_{k:06d}", verify=True)
        assert episode.seed == 40 + k and set(episode.frames) == {"world", "wrist"}
        times = episode.log.frame_s["wrist"]
        age = episode.times - times
        assert ((age >= -1e-6) & (age < 0.038)).all() and age.max() > 0.01, "true times, not the step's"


def test_a_session_goes_on_where_it_was(tmp_path: Path) -> None:
    run(Table(), tmp_path, 2)
    before = (tmp_path / "episode_000001" / "SHA256SUMS").read_text()
    table = Table()
    assert run(table, tmp_path, 3) == ["episode_000002"] and table.operator.seeds == [42]
    assert (tmp_path / "episode_000001" / "SHA256SUMS").read_text() == before
    assert run(Table(), tmp_path, 3) == []


@pytest.mark.parametrize("ended", [None, Mark.REDO])
def test_images_that_are_on_disk_or_not_kept_are_not_in_memory(tmp_path: Path, ended: Mark | None) -> None:
    table = Table(ToyOperator({10: ended} if ended else {}))
    alive: list[list[bool]] = []
    images: list[weakref.ref[np.ndarray]] = []
    latest = table.cameras[0].latest

    def look() -> CameraImage:
        image = latest()
        images.append(weakref.ref(image.image))
        return image

    def asked(_: str) -> None:
        table.base.shown.clear()  # which remembers all of them
        table.operator.marks.clear() if alive else None
        alive.append([image() is not None for image in images])

    table.cameras[0].latest, table.operator.when_asked = look, asked  # type: ignore[method-assign]
    assert len(list(session(table.env, Recorder(tmp_path), 2))) == 2
    assert len(alive) == (3 if ended else 2)
    assert len(alive[1]) > 10 and not any(alive[1][:10]), "the last view alone, at the second episode's start"


@pytest.fixture
def pressed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ctrl-C, twice, while an episode is being written. Whoever runs the tests may have had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def save(episode: Episode, folder: Path) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        save_episode(episode, folder)

    monkeypatch.setattr("robot.recording.recorder.save_episode", save)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_until_the_episode_that_is_over_is_on_disk(tmp_path: Path, pressed: None) -> None:
    table = Table()
    with pytest.raises(KeyboardInterrupt):
        run(table, tmp_path, 2)
    load_episode(tmp_path / "episode_000000", verify=True)
    assert "episode_000000: " in table.operator.said[-1] and len(table.operator.seeds) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_session_in_another_thread_saves_as_well(tmp_path: Path) -> None:
    thread = threading.Thread(target=run, args=(Table(), tmp_path, 1))
    thread.start()
    thread.join(60)
    load_episode(tmp_path / "episode_000000", verify=True)


def test_redone_is_not_kept_and_quitting_ends_it(tmp_path: Path) -> None:
    operator = ToyOperator({2: Mark.REDO})
    table = Table(operator)

    def second_time(question: str) -> None:
        if len(operator.seeds) == 2:
            operator.marks = {3: Mark.SUCCESS}
        if len(operator.seeds) == 3:
            operator.marks = {3: Mark.QUIT}

    operator.when_asked = second_time
    assert run(table, tmp_path, 5) == ["episode_000000"]
    assert load_episode(tmp_path / "episode_000000").success and operator.seeds == [40, 40, 41], (
        "redone: the same start"
    )
    assert [line for line in operator.said if "not kept" in line] == ["not kept: redo", "not kept: quit"]


def test_quitting_before_an_episode_ends_it_as_well(tmp_path: Path) -> None:
    assert run(Table(ToyOperator(answers=(Answer.GO, Answer.QUIT))), tmp_path, 5) == ["episode_000000"]


def test_a_fault_ends_its_episode_not_the_session(tmp_path: Path) -> None:
    table = Table()
    table.env.reset(seed=0)
    act = table.base.act

    def breaks(observation):
        if len(table.operator.seeds) == 2 and table.base.step == 4:
            table.arm.errors = ("joint_reflex",)
        return act(observation)

    table.base.act = breaks
    table.operator.when_asked = lambda question: setattr(table.arm, "errors", ())
    assert len(run(table, tmp_path, 2)) == 2
    first, second = (load_episode(tmp_path / f"episode_{k:06d}", verify=True) for k in (0, 1))
    assert len(first) == 5 and "joint_reflex" in first.about["fault"] and "joint_reflex" in episode_summary(first)
    assert len(second) == 10 and second.about["fault"] == ""


def test_a_disk_that_is_nearly_full_is_said_before_the_arm_moves(tmp_path: Path, monkeypatch) -> None:
    table = Table()
    recorder = Recorder(tmp_path)
    monkeypatch.setattr("robot.recording.recorder.free_bytes", lambda path: 1000)
    with pytest.raises(Exception, match=r"may need .* MB: free some"):
        list(session(table.env, recorder, 1))
    assert table.arm.sent == []
