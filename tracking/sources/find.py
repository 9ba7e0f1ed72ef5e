"""`mpr find`: from annotations to a manifest for `mpr track --manifest`, shown before anything heavy runs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tracking.config import Range, as_dict, check_ranges, parse, print_plan
from tracking.errors import UserError
from tracking.runs import RunFolder, write_atomic
from tracking.sources import check, clips, ego4d, epic, folder, lerobot, report
from tracking.sources.action import Action
from tracking.sources.contact_sheet import draw_sheet
from tracking.sources.embed import SentenceModel, Similarity
from tracking.sources.manifest import write_manifest
from tracking.sources.query import Query
from tracking.sources.search import Alike, Found, search


@dataclass(frozen=True)
class FindConfig:
    """Find actions by verb, noun and narration in data sets and folders of videos, and list them to be tracked."""

    out: Path = Path("runs/find")  # run folder
    ego4d: Path | None = None  # an Ego4D annotation file: narration.json, fho_main.json, fho_lta_train.json
    epic: Path | None = None  # an EPIC-KITCHENS-100 table: EPIC_100_train.csv
    folder: Path | None = None  # a folder of videos, with a CSV or JSON table of what is done in them
    lerobot: Path | None = None  # a LeRobot data set, v3.0
    clips: Path | None = None  # a folder of clip folders, of `mpr synth`
    videos: Path | None = None  # where the videos of --ego4d or --epic lie, if not beside the annotations
    table: Path | None = None  # the table of --folder, if it does not hold just one
    camera: str = ""  # video feature of --lerobot, if it has several
    query: str = ""  # words of narration, verb and noun, in any order and form: "open microwave"; empty: any
    verb: str = ""  # words of the verb
    noun: str = ""  # words of the noun
    embed: Path | None = None  # folder of a sentence model: also find narrations that mean about the same as --query
    similar: float = 0.7  # cosine from which on a narration means the same (--embed)
    max_seconds: float = 30.0  # longer actions are counted, and kept whole: tracking cuts them
    sheet: int = 24  # pictures in the contact sheet; 0: none
    check: bool = False  # also tell whether what is found meets R3M's data needs

    def __post_init__(self) -> None:
        if not self.sources:
            raise UserError("mpr find: give a source: --ego4d, --epic, --folder, --lerobot or --clips")
        if self.videos is not None and self.ego4d is None and self.epic is None:
            raise UserError("mpr find: --videos goes with --ego4d or --epic")
        if self.embed is not None and not self.query:
            raise UserError("mpr find: --embed needs a --query to compare narrations with")
        check_ranges(self, {"similar": Range(-1, 1), "max_seconds": Range(0, above=True), "sheet": Range(0)})

    @property
    def sources(self) -> dict[str, Path]:
        """The sources given, by their option."""
        paths = {name: getattr(self, name) for name in ("ego4d", "epic", "folder", "lerobot", "clips")}
        return {name: path for name, path in paths.items() if path is not None}


def main(argv: Sequence[str]) -> None:
    """Entry of `mpr find`. Raises UserError."""
    config, dry_run = parse(FindConfig, argv, prog="mpr find")
    query = Query(config.query, config.verb, config.noun)
    if dry_run:
        print_plan(config, config.sources, {}, config.out)
        return
    settings, free = as_dict(config), ("out", "sheet", "check")
    if config.out.exists():
        RunFolder(config.out, "find", settings, free)  # refuse another run's folder before the work
    found = find(config, query)
    by_source = {name: report.numbers(f) for name, f in found.items()}
    print("\n".join(report.as_lines(by_source)))
    entries = [entry for f in found.values() for entry in f.entries]
    if not entries:
        raise UserError(f"nothing found among {sum(f.actions for f in found.values()):,} actions: ask with fewer words")
    run = RunFolder(config.out, "find", settings, free)  # only now: a search in vain leaves no run behind
    write_manifest(run.path / "manifest.jsonl", entries)
    missing = report.missing_videos(entries)
    write_atomic(run.path / "missing_videos.txt", "".join(f"{Path(video).stem}\n" for video in missing))
    summary: dict[str, object] = {"sources": by_source}
    if config.sheet:
        summary["contact_sheet"] = drawn = draw_sheet(run.path / "contact_sheet.jpg", entries, config.sheet)
        print(f"{run.path / 'contact_sheet.jpg'}: " + ", ".join(f"{n} {what}" for what, n in drawn.items() if n))
    if config.check:
        infos = [info for f in found.values() for info in f.infos]
        verdicts = check.check(list(zip(entries, infos, strict=True)))
        summary["r3m"] = [{**dataclasses.asdict(v), "verdict": v.word} for v in verdicts]
        print("R3M's data needs:\n" + "\n".join(check.as_lines(verdicts)))
    run.finish(summary)
    if missing:
        print(f"{run.path / 'missing_videos.txt'}: names of the {len(missing)} videos that are not there")
    print(f"{run.path / 'manifest.jsonl'}: {len(entries)} actions for `mpr track --manifest`")


def find(config: FindConfig, query: Query) -> dict[str, Found]:
    """What each source has of the query."""
    alike = None
    if config.embed is not None:
        alike = Alike(Similarity(SentenceModel(config.embed), config.query), config.similar)
    found: dict[str, Found] = {}
    taken: set[str] = set()
    for name, path in config.sources.items():
        found[name] = Found()
        actions = _open(config, name, path, found[name].reasons)
        bar = tqdm(actions, name, unit=" actions", disable=None)
        search(bar, query, alike, config.max_seconds, found[name], taken)
    return found


def _open(config: FindConfig, name: str, path: Path, reasons: Counter[str]) -> Iterator[Action]:
    opened: dict[str, Callable[[], Iterator[Action]]] = {
        "ego4d": lambda: ego4d.actions(path, config.videos, reasons),
        "epic": lambda: epic.actions(path, config.videos, reasons),
        "folder": lambda: folder.actions(path, config.table, reasons),
        "lerobot": lambda: lerobot.actions(path, config.camera, reasons),
        "clips": lambda: clips.actions(path, reasons),
    }
    return opened[name]()
