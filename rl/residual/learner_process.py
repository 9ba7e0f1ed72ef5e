"""`EpisodeLearner` in a process of its own: it makes updates while the next episode is played.

    this process      episode k ──▶ actor    reset, episode k+1         episode k+1 ──▶ actor
    learner                 │        ▲                                        │           ▲
      fixed        keeps k, gives ───┘   updates for k ................   (waits until they are made)
      free         keeps k, gives ───┘   updates for whatever is owed     gives what there is

`fixed`: the actor of episode k+2 has exactly the updates owed for the episodes up to k, so that a run is decided by its
seed. `free`: it has what there was time for; the number is told with it, and `replay_updates` does the same again. The
checkpoint of an episode is written when it comes in, so that a learner that is killed begins there again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from mpr.core.beside import ProcessBeside
from mpr.core.errors import UserError, in_brief
from mpr.core.processes import cpu_threads
from rl.residual.config import FinetuneConfig

if TYPE_CHECKING:
    from torch import Tensor

    from rl.residual.episode_learner import EpisodeLearner, PractisedEpisode, Sizes

SCHEDULES = ("fixed", "free")
CHUNK = 20  # updates between two looks for an order: a tenth of a second


@dataclass(frozen=True)
class LearnerSetup:
    """All that a learner is made of; it is read in its own process."""

    config: FinetuneConfig
    sizes: Sizes
    run: Path  # folder of its checkpoints
    schedule: str = "fixed"
    about: Mapping[str, Any] | None = None  # JSON values that its checkpoints hold beside theirs

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise UserError(f"no schedule '{self.schedule}'; there is {', '.join(SCHEDULES)}")


@dataclass(frozen=True)
class HandedOver:
    """An actor to practise the next episode with."""

    given: tuple[int, ...]  # numbers of the episodes that the learner has been given
    steps: int  # of those
    updates: int  # that the actor has
    owed: int  # that it has not
    actor: Mapping[str, Tensor]  # its policy's weights
    figures: Mapping[str, float]  # losses of the last updates


class LearnerProcess(ProcessBeside):
    """The learner beside whoever practises. It goes on where the newest checkpoint of its run stands."""

    def __init__(self, setup: LearnerSetup, demonstrations: Mapping[str, NDArray] | None = None) -> None:
        """`demonstrations`: what `ResidualBuffer.arrays` gave of them, [N, 1, ...], for every batch; none: none."""
        super().__init__("learner", _learn, setup, demonstrations)

    def actor(self) -> HandedOver:
        """The actor to begin with, once the critics had their lessons. Raises what went wrong, and ProcessGone."""
        self.order("actor")
        return self._handed_over()

    def add(self, number: int, episode: PractisedEpisode) -> None:
        """Give it the episode of that number, higher than all before, at once; `handed_over` is to be asked next."""
        self.order("episode", number, episode)

    def handed_over(self) -> HandedOver:
        """The actor for the next episode, once the learner has kept the last. Raises UserError and ProcessGone."""
        return self._handed_over()

    def settle(self, policy: Path) -> HandedOver:
        """The actor with all updates that are owed, saved in a folder of its own.

        Practice that goes on goes on at the last episode's checkpoint, as if nobody had settled anything.
        """
        self.order("settle", policy)
        return self._handed_over()

    def _handed_over(self) -> HandedOver:
        found = self.answer()
        if isinstance(found, str):
            raise UserError(found)
        return found


def _learn(end: Connection, setup: LearnerSetup, demonstrations: Mapping[str, NDArray] | None) -> None:
    """The process: until it is told to leave. What goes wrong is an answer."""
    try:
        with cpu_threads(setup.config.threads):
            _take_orders(end, setup, _ready(setup, demonstrations))
    except UserError as error:
        end.send(str(error))
    except Exception as error:  # whoever waits for an answer is told why there is none: a full disk, above all
        end.send(f"the learner cannot go on: {type(error).__name__}: {in_brief(error)}")


def _take_orders(end: Connection, setup: LearnerSetup, learner: EpisodeLearner) -> None:
    while (order := end.recv())[0] != "leave":
        what, *rest = order
        if what == "settle":
            _settle_into(rest[0], learner, setup)
        elif what == "episode":
            _keep(learner, setup, *rest)
        end.send(_handed(learner))
        while learner.owed and not end.poll():
            learner.update(CHUNK)


def _ready(setup: LearnerSetup, demonstrations: Mapping[str, NDArray] | None) -> EpisodeLearner:
    from mpr.core.checkpoints import last_checkpoint
    from mpr.core.runs import refuse_full_disk
    from rl.residual.checkpoint import checkpoint_bytes
    from rl.residual.episode_learner import EpisodeLearner

    learner = EpisodeLearner(setup.config, setup.sizes)
    if demonstrations is not None:
        learner.demonstrate(demonstrations)
    if (found := last_checkpoint(setup.run)) is not None:
        learner.restore(found)
    else:
        refuse_full_disk(setup.run, checkpoint_bytes(learner.model))
        learner.learn_critics()
        _save(learner, setup)
    return learner


def _keep(learner: EpisodeLearner, setup: LearnerSetup, number: int, episode: PractisedEpisode) -> None:
    if learner.given and number <= learner.given[-1]:
        raise UserError(f"episode {number} came after episode {learner.given[-1]}: the learner has it, or a later one")
    if setup.schedule == "fixed":
        _settle(learner)
    learner.add(episode, number)
    _save(learner, setup)


def _settle(learner: EpisodeLearner) -> None:
    while learner.owed:
        learner.update(CHUNK)


def _settle_into(policy: Path, learner: EpisodeLearner, setup: LearnerSetup) -> None:
    _settle(learner)
    learner.save(policy, learner.episodes, setup.about or {})


def _save(learner: EpisodeLearner, setup: LearnerSetup) -> None:
    learner.save(setup.run, learner.episodes, setup.about or {})


def _handed(learner: EpisodeLearner) -> HandedOver:
    told = tuple(learner.given), learner.steps, learner.updates, learner.owed
    return HandedOver(*told, learner.actor(), learner.figures())


def replay_updates(
    learner: EpisodeLearner, events: Iterable[tuple[int, PractisedEpisode]], updates: int | None = None
) -> EpisodeLearner:
    """Do again what a free run did: before each episode as many updates as there were then, `updates` at its end."""
    for made, episode in events:
        _make(learner, made)
        learner.add(episode)
    _make(learner, learner.updates + learner.owed if updates is None else updates)
    return learner


def _make(learner: EpisodeLearner, updates: int) -> None:
    while learner.updates < updates:
        if not learner.update(updates - learner.updates):
            raise ValueError(f"{updates} updates are asked for, {learner.updates} were owed")
