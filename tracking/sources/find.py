"""Every source searched for what a query means, and what is found listed in a run folder, to be looked at first."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from tqdm import tqdm

from mpr.core.config import as_dict
from mpr.core.errors import UserError
from mpr.core.runs import RunFolder, write_atomic
from tracking.sources import check, report
from tracking.sources.action import VideoAction
from tracking.sources.config import FindConfig
from tracking.sources.contact_sheet import draw_sheet
from tracking.sources.embed import SentenceModel, Similarity
from tracking.sources.in_vain import unfit_ones, why_nothing
from tracking.sources.manifest import write_manifest
from tracking.sources.query import Query
from tracking.sources.registry import SOURCES, SourcePlace
from tracking.sources.search import Alike, SearchResult, search


def list_found(config: FindConfig, query: Query) -> None:
    """Search, and write what was found into the run folder: manifest, names of missing videos, contact sheet, verdicts.

    Raises UserError where nothing is found.
    """
    settings, free = as_dict(config), ("out", "sheet", "check")
    if config.out.exists():
        RunFolder(config.out, "find", settings, free)  # refuse another run's folder before the work
    found = find(config, query)
    by_source = {name: report.search_numbers(f) for name, f in found.items()}
    print("\n".join(report.report_lines(by_source)))
    entries = [entry for f in found.values() for entry in f.entries]
    if not entries:
        raise UserError(why_nothing(found, unfit(config, query, found), query))
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
        verdicts = check.check_videos(list(zip(entries, infos, strict=True)))
        summary["r3m"] = [{**dataclasses.asdict(v), "verdict": v.word} for v in verdicts]
        print("R3M's data needs:\n" + "\n".join(check.verdict_lines(verdicts)))
    run.finish(summary)
    if missing:
        print(f"{run.path / 'missing_videos.txt'}: names of the {len(missing)} videos that are not there")
    print(f"{run.path / 'manifest.jsonl'}: {len(entries)} actions for `mpr track --manifest`")


def find(config: FindConfig, query: Query) -> dict[str, SearchResult]:
    """What each source has of the query."""
    found: dict[str, SearchResult] = {}
    taken: set[str] = set()
    alike = _alike(config)
    for name, path in config.sources.items():
        found[name] = SearchResult()
        actions = _open(config, name, path, found[name].reasons)
        bar = tqdm(actions, name, unit=" actions", disable=None)
        search(bar, query, alike, config.max_seconds, found[name], taken)
    return found


def unfit(config: FindConfig, query: Query, found: Mapping[str, SearchResult]) -> Counter[str]:
    """Of sources that left out actions before their words were looked at: why those that the query means, by reason."""
    counted: Counter[str] = Counter()
    for name, path in config.sources.items():
        if found[name].reasons.keys() - found[name].lost.keys():
            actions = _open(config, name, path, Counter(), unfit_too=True)
            counted += unfit_ones(actions, query, _alike(config))
    return counted


def _alike(config: FindConfig) -> Alike | None:
    if config.embed is None:
        return None
    return Alike(Similarity(SentenceModel(config.embed), config.query), config.similar)


def _open(
    config: FindConfig, name: str, path: Path, reasons: Counter[str], unfit_too: bool = False
) -> Iterator[VideoAction]:
    return SOURCES.load(name)(SourcePlace(path, config.videos, config.table, config.camera, unfit_too), reasons)
