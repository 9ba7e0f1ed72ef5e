"""YAML and command line into a frozen dataclass, with draccus; its tracebacks become one line that names the key."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import math
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import draccus
import yaml

from tracking.errors import UserError
from tracking.runs import free_bytes

C = TypeVar("C")
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


def parse(config_class: type[C], argv: Sequence[str], prog: str) -> tuple[C, bool]:
    """Returns the config and whether --dry-run was asked. `--config FILE` is read first, `--key value` overrides it.

    Raises UserError for an unknown key, a wrong type, a refused value or a missing file.
    """
    argv = list(argv)
    dry_run = "--dry-run" in argv
    argv = [a for a in argv if a != "--dry-run"]
    file: Path | None = None
    for i, argument in enumerate(argv):
        if argument == "--config" or argument.startswith("--config="):
            if "=" not in argument and i + 1 == len(argv):
                raise UserError(f"{prog}: --config needs a file")
            file = Path(argument.split("=", 1)[1] if "=" in argument else argv[i + 1])
            del argv[i : i + (1 if "=" in argument else 2)]
            if not file.is_file():
                raise UserError(f"{prog}: config file {file} does not exist")
            break
    if "--help" in argv or "-h" in argv:
        _print_help(config_class, prog)
        raise SystemExit(0)
    known = {f.name for f in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    for argument in argv:
        key = argument[2:].split("=")[0].split(".")[0]
        if argument.startswith("--") and key not in known:
            raise UserError(f"{prog}: unknown key --{key}; known: {', '.join(sorted(known))} (see {prog} --help)")
    argv = _spell_numbers(config_class, _spell_texts(config_class, _spell_flags(config_class, argv)))
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            config = draccus.parse(config_class, config_path=file, args=argv, prog=prog)
        for name, hint in get_type_hints(config_class).items():
            if hint is Path and getattr(config, name) is None:  # draccus lets null through
                raise UserError(f"{prog}: --{name} null: a path is needed")
        return config, dry_run
    except UserError:
        raise
    except (SystemExit, Exception) as error:
        text = errors.getvalue().strip().splitlines()[-1:] if isinstance(error, SystemExit) else []
        where = f" ({file})" if file else ""
        raise UserError(f"{prog}: {_one_line(text[0] if text else error)}{where}; see {prog} --help") from error


def _spell_flags(config_class: type, argv: list[str]) -> list[str]:
    """A yes-or-no key alone, as in `--check`, means yes."""
    hints = get_type_hints(config_class)
    followed = [*argv, "--"][1:]
    return [
        f"{word}=true" if word[:2] == "--" and hints.get(word[2:]) is bool and after[:2] == "--" else word
        for word, after in zip(argv, followed, strict=True)
    ]


def _spell_texts(config_class: type, argv: list[str]) -> list[str]:
    """Texts in quotes: draccus reads values as YAML, where `off` is no word and `#C C opens` is nothing at all."""
    texts = {f"--{name}" for name, hint in get_type_hints(config_class).items() if hint is str}
    out: list[str] = []
    for argument in argv:
        key, equals, value = argument.partition("=")
        if key in texts and equals:
            out.append(f"{key}={json.dumps(value, ensure_ascii=False)}")
        elif out and out[-1] in texts and not argument.startswith("--"):
            out[-1] += f"={json.dumps(argument, ensure_ascii=False)}"
        else:
            out.append(argument)
    return out


def _spell_numbers(config_class: type, argv: list[str]) -> list[str]:
    """What argparse and draccus need to hear for `--box -5,10,30,40` and `--size -1e-3`."""
    hints = get_type_hints(config_class)
    out: list[str] = []
    for argument in argv:
        key, value = "", argument
        if argument.startswith("--"):
            key, _, value = argument.partition("=")
        elif out and out[-1].startswith("--") and "=" not in out[-1]:
            key = out[-1]
        bare = re.fullmatch(rf"[(\[]?({NUMBER}(?:\s*,\s*{NUMBER})*)[)\]]?", value)
        if not key or not bare:
            out.append(argument)
            continue
        if not argument.startswith("--"):
            out.pop()
        several = "tuple[" in str(hints.get(key[2:], "")) or "list[" in str(hints.get(key[2:], ""))
        out.append(f"{key}=[{bare[1]}]" if several else f"{key}={value}")
    return out


def _one_line(error: object) -> str:
    """draccus chains errors: the innermost one names the key and the value."""
    parts = []
    while isinstance(error, BaseException):
        parts.append(" ".join(str(error).split()))
        error = error.__cause__
    if not parts:
        return " ".join(str(error).split())
    return " — ".join(dict.fromkeys(p for p in parts if p))[:400]


def _print_help(config_class: type, prog: str) -> None:
    parser = draccus.argparsing.ArgumentParser(config_class, prog=prog).parser
    parser.description = (config_class.__doc__ or "").strip()
    for action in parser._actions:  # draccus's own name for --config
        if "--config_path" in action.option_strings:
            action.help = argparse.SUPPRESS
    parser.add_argument("--config", metavar="FILE", help="YAML file with the same keys; --key value overrides it")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done; touch nothing")
    parser.print_help()


def as_dict(config: Any) -> dict[str, Any]:
    """The resolved config as plain YAML values."""
    return yaml.safe_load(str(draccus.dump(config))) or {}


def with_settings(config_class: type[C], settings: str, what: str, taken: Collection[str] = ()) -> C:
    """The defaults but for `settings`, as "key=value other=value"; the later of two wins.

    Raises UserError naming `what`, and the key where it is unknown or `taken` (decided elsewhere).
    """
    words = []
    for setting in shlex.split(settings):
        key, equals, value = setting.partition("=")
        if not equals or key in taken:
            why = "is decided by the experiment" if key in taken else "lacks its =value"
            raise UserError(f"{what}: '{setting}' {why}; a setting is key=value")
        words += [f"--{key}", value]
    return parse(config_class, words, what)[0]


@dataclass(frozen=True)
class Range:
    """Finite numbers from `low` (itself not, where `above`) to `high`. NaN lies in none."""

    low: float
    high: float = math.inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.low <= value <= self.high and not (self.above and value == self.low)

    def __str__(self) -> str:
        most = "" if math.isinf(self.high) else f" and at most {self.high:g}"
        return f"{'above' if self.above else 'at least'} {self.low:g}{most}"


def check_ranges(config: Any, ranges: Mapping[str, Range]) -> None:
    """Raises UserError naming the first of the config's numbers that lies outside its range."""
    for name, allowed in ranges.items():
        if getattr(config, name) not in allowed:
            raise UserError(f"--{name} {getattr(config, name)}: it is {allowed}")


def print_plan(config: Any, inputs: Mapping[str, Path], facts: Mapping[str, object], out: Path) -> None:
    """What --dry-run prints. Raises UserError (after printing) where an input is missing. Touches nothing."""
    print("resolved config:")
    print("".join(f"  {line}\n" for line in yaml.safe_dump(as_dict(config), sort_keys=False).splitlines()), end="")
    missing = [name for name, path in inputs.items() if not Path(path).exists()]
    for name, path in inputs.items():
        print(f"input {name}: {path} ({'missing' if name in missing else 'found'})")
    for name, value in facts.items():
        print(f"{name}: {value}")
    print(f"disk free at {out}: {free_bytes(out) / 1e9:.1f} GB")
    if missing:
        raise UserError(f"missing input: {', '.join(f'{n} ({inputs[n]})' for n in missing)}")
