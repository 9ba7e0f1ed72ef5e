"""The `mpr` command: maps a verb to "package.module:main", imported only when asked for."""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Sequence

from mpr.core.errors import NO_ROOM, UserError

# Of an OSError that names a path: nothing can be written there. That a file is missing may be our own fault.
WRONG_PATH = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS)

CLI_VERBS = {
    "quickstart": (
        "rl.commands.quickstart:main",
        "everything once, in a quarter of an hour, and a page that tells of it",
    ),
    "synth": ("tracking.commands.synth:main", "make synthetic egocentric clips with exact tracks"),
    "find": ("tracking.commands.find:main", "find clips by verb, noun and narration, and list them for tracking"),
    "track": ("tracking.commands.track:main", "track an object through a video, a manifest's actions, or clips again"),
    "train": ("mpr.commands.train:main", "train a motion predictor on tracked clips"),
    "pretrain": ("mpr.commands.pretrain:main", "train a picture encoder on clips, for rewards that compare pictures"),
    "score": ("mpr.commands.score:main", "score an episode or video: agreement per step, film strip"),
    "episodes": ("rl.commands.episodes:main", "record scripted Franka Kitchen episodes"),
    "demos": ("rl.commands.demos:main", "demonstrations of a kitchen task, by the scripted expert or from Minari"),
    "bc": ("rl.commands.bc:main", "train a diffusion policy on demonstrations: the base policy"),
    "finetune": ("rl.commands.finetune:main", "let a residual policy practise on a frozen base policy"),
    "evaluate": ("rl.commands.evaluate:main", "success of base and base + residual, paired on the same seeds"),
    "experiment": ("rl.experiments.command:main", "run an experiment and write its table"),
    "robot check": ("robot.commands.check:main", "check arm and cameras: rates, latencies, home, workspace"),
    "robot demos": ("robot.commands.demos:main", "guide an operator through demonstrations on the arm"),
    "robot run": ("robot.commands.run:main", "run a policy on the arm, episode after episode, marked by the operator"),
    "robot session": ("robot.commands.session:main", "let a residual policy practise on the arm, and lose nothing"),
    "robot replay": ("robot.commands.replay:main", "show a recorded episode, or let the arm follow it again, slowed"),
    "robot faults": ("robot.faults.command:main", "inject faults into sessions on the simulated arm"),
    "robot export": (
        "robot.commands.export:main",
        "recorded episodes as a LeRobot or Minari data set, read back",
    ),
    "bench": ("mpr.commands.bench:main", "measure speed on this machine"),
    "bench reward": (
        "mpr.commands.bench_reward:main",
        "measure how soon after an episode the motion reward is there, made afterwards and meanwhile",
    ),
    "bench rewards": (
        "rl.commands.bench_rewards:main",
        "measure what rewards are paid for, beside null models, and what they cost",
    ),
    "bench rl": ("rl.commands.bench:main", "measure residual RL: updates beside other libraries', an episode's parts"),
    "bench camera": (
        "tracking.commands.bench_camera:main",
        "measure what each camera compensation leaves on synthetic clips",
    ),
    "bench tracking": ("mpr.commands.bench_tracking:main", "measure point trackers and box masks against exact ones"),
    "bench video": ("tracking.commands.bench_video:main", "measure the stages from video to clip, and their memory"),
    "bench robot": ("robot.commands.bench:main", "measure how well ten commands a second are kept, in real time"),
    "doctor": ("mpr.commands.doctor:main", "check this machine: GL, GPU, weights, versions, disk"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Exit status: 0 done, 2 something the user can mend (one line on stderr), 130 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: mpr VERB [--config FILE] [--key value ...] [--out DIR] [--dry-run] [--help]\n")
        print("\n".join(f"  {verb:<12} {text}" for verb, (_, text) in CLI_VERBS.items()))
        return 0
    words = 2 if " ".join(argv[:2]) in CLI_VERBS else 1
    verb, rest = " ".join(argv[:words]), argv[words:]
    try:
        if verb not in CLI_VERBS:
            raise UserError(f"unknown verb '{verb}'; there is {', '.join(CLI_VERBS)}")
        module, function = CLI_VERBS[verb][0].split(":")
        try:
            getattr(importlib.import_module(module), function)(rest)
        except ModuleNotFoundError as error:
            extra = {"transformers": "vision", "ray": "scale", "pyarrow": "lerobot"}
            extra |= {"franky": "franka", "pyrealsense2": "realsense"}
            extra |= dict.fromkeys(("gymnasium", "gymnasium_robotics"), "kitchen")
            extra |= dict.fromkeys(("stable_baselines3", "diffusers", "torchvision", "minari", "h5py"), "policy")
            if error.name not in extra:
                raise
            missing = f"{error.name}, the extra '{extra[error.name]}'"
            mend = "`make setup`, or pip install -e '.[all]'"
            if extra[error.name] in ("franka", "realsense"):  # hardware: not in `all`
                mend = f"pip install -e '.[{extra[error.name]}]'"
            raise UserError(f"`mpr {verb}` needs {missing}: {mend}") from error
    except UserError as error:
        print(f"mpr: {' '.join(str(error).split())}", file=sys.stderr)  # what it quotes of a file may hold line ends
        return 2
    except MemoryError as error:
        print(f"mpr: not enough memory ({error or 'no more is said'})", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno in NO_ROOM:
            print(f"mpr: the disk is full ({error.filename}): free some space, run again", file=sys.stderr)
        elif error.errno in WRONG_PATH and error.filename is not None:
            print(f"mpr: {error.filename}: {error.strerror}; give another path", file=sys.stderr)
        else:
            raise
        return 2
    except KeyboardInterrupt:
        print("mpr: interrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
