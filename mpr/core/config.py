"""YAML and command line into a frozen dataclass, whose errors are one line that names the key."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import draccus
import yaml

from mpr.core.command_line import fields_of, merged, read_words, read_yaml
from mpr.core.errors import UserError
from mpr.core.runs import free_bytes

C = TypeVar("C")
LISTS = """\
A list's items are words of their own (--key a b) or have commas between (--key a,b or --key "[a, b]").
An item that holds a comma needs quotes of its own, unless it is a path that exists. [] is an empty list."""


def parse_config(
    config_class: type[C],
    argv: Sequence[str],
    prog: str,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    others: Mapping[str, str] | None = None,
) -> tuple[C, bool]:
    """Returns the config and whether --dry-run was asked. `--config FILE` is read first, `--key value` overrides it.

    A config in which one value follows from another says so in a method `resolved`, and is returned as that has it.
    `presets`: what `--preset NAME` sets, below both. `others`: keys of a file that are for other commands, which may be
    given the same one: they are passed over where the key stands that says the same to this command. Raises UserError
    for an unknown key or preset, a wrong type, a refused value or a missing file.
    """
    argv = list(argv)
    dry_run = "--dry-run" in argv
    argv = [a for a in argv if a != "--dry-run"]
    named = _taken_out(argv, "--config", "a file", prog)
    file = None if named is None else Path(named)
    if file and not file.is_file():
        raise UserError(f"{prog}: config file {file} does not exist")
    preset = _taken_out(argv, "--preset", "a name", prog) if presets else None
    if presets and preset is not None and preset not in presets:
        raise UserError(f"{prog}: no preset '{preset}'; there is {', '.join(presets)}")
    if "--help" in argv or "-h" in argv:
        _print_help(config_class, prog, presets or {})
        raise SystemExit(0)
    try:
        said = dict(presets[preset]) if presets and preset else {}
        of_file = _read_file(file) if file else {}
        for key in [key for key, own in (others or {}).items() if own in of_file]:
            of_file.pop(key, None)
        said = merged(said, fields_of("", of_file, config_class))
    except UserError as error:
        raise UserError(f"{prog}: {file}: {error}; see {prog} --help") from error
    try:
        said = merged(said, read_words(config_class, argv))
    except UserError as error:
        raise UserError(f"{prog}: {error}; see {prog} --help") from error
    try:
        config = draccus.decode(config_class, said)
        resolved = getattr(config, "resolved", None)
        return (resolved() if resolved else config), dry_run
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{prog}: {_one_line(error)}; see {prog} --help") from error


def _taken_out(argv: list[str], option: str, needed: str, prog: str) -> str | None:
    """The value of an option that is no field of a config; it is taken out of `argv`."""
    for i, word in enumerate(argv):
        if word == option or word.startswith(f"{option}="):
            if "=" not in word and i + 1 == len(argv):
                raise UserError(f"{prog}: {option} needs {needed}")
            value = word.split("=", 1)[1] if "=" in word else argv[i + 1]
            del argv[i : i + (1 if "=" in word else 2)]
            return value
    return None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return read_yaml(file.read_bytes())
    except ValueError as error:
        raise UserError(str(error)[:300]) from error


def _one_line(error: object) -> str:
    """draccus chains errors: the innermost one names the key and the value."""
    parts = []
    while isinstance(error, BaseException):
        parts.append(" ".join(str(error).split()))
        error = error.__cause__
    if not parts:
        return " ".join(str(error).split())
    return " — ".join(dict.fromkeys(p for p in parts if p))[:400]


def _print_help(config_class: type, prog: str, presets: Mapping[str, Mapping[str, Any]]) -> None:
    parser = draccus.argparsing.ArgumentParser(config_class, prog=prog).parser
    parser.description = (config_class.__doc__ or "").strip()
    for action in parser._actions:  # draccus's own name for --config
        if "--config_path" in action.option_strings:
            action.help = argparse.SUPPRESS
        elif (action.help or "").startswith("Config file for "):  # draccus's word for a mapping of its fields
            action.help = "the keys below with no dots, as '{key: value, key: value}'"
    parser.epilog = LISTS
    parser.add_argument("--config", metavar="FILE", help="YAML file with the same keys; --key value overrides it")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done; touch nothing")
    if presets:
        sizes = (f"{name} ({', '.join(f'{k} {v}' for k, v in keys.items())})" for name, keys in presets.items())
        parser.add_argument("--preset", metavar="NAME", help="; ".join(sizes) + ". The options above override it")
    parser.print_help()


def as_dict(config: Any) -> dict[str, Any]:
    """The resolved config as plain YAML values."""
    return yaml.safe_load(str(draccus.dump(config))) or {}


def with_settings(config_class: type[C], settings: str, what: str, taken: Collection[str] = ()) -> C:
    """The defaults but for `settings`, as "key=value other=value"; the later of two wins.

    Raises UserError naming `what`, and the key where it is unknown or `taken` (decided elsewhere).
    """
    return parse_config(config_class, setting_words(settings, what, taken), what)[0]


def setting_words(settings: str, what: str, taken: Collection[str] = ()) -> list[str]:
    """Settings as words of a command line. Raises UserError as `with_settings` does."""
    try:
        words = shlex.split(settings)
    except ValueError as error:
        raise UserError(f"{what}: '{settings}': {error}") from error
    for word in words:
        key, equals, _ = word.partition("=")
        if not equals or key in taken:
            why = "is decided by the experiment" if key in taken else "lacks its =value"
            raise UserError(f"{what}: '{word}' {why}; a setting is key=value")
    return [f"--{word}" for word in words]


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


def check_ranges(config: Any, ranges: Mapping[str, Range], of: str = "") -> None:
    """Raises UserError naming the first of the config's numbers that lies outside its range; None is no number.

    `of`: what stands before its keys on the command line, as "vip."."""
    for name, allowed in ranges.items():
        value = getattr(config, name)
        if value is not None and value not in allowed:
            raise UserError(f"--{of}{name} {value}: it is {allowed}")


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
