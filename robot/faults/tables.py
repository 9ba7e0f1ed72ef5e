"""The campaign's rows as Markdown: what became of all, of each part and kind, and of each fault of a process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

FaultRow = dict[str, Any]


def tables(rows: Sequence[FaultRow]) -> list[str]:
    """The whole report of a campaign, as lines of Markdown."""
    sessions = [row for row in rows if row["what"] == "session"]
    processes = [row for row in rows if row["what"] == "process"]
    bad = [row for row in rows if row["bad"]]
    commands = sum(row["commands"] for row in sessions)
    kinds = ", ".join(f"{len(of)} {part}" for part, of in _parts(rows).items())
    return [
        f"# {sum(not row.get('not_run') for row in rows)} faults: {len(bad)} bad",
        "",
        f"{kinds}; {commands:,} commands sent; two episodes a session, many in one that learns.",
        "",
        *totals(rows),
        "",
        *([*session_table(sessions), ""] if sessions else []),
        *([*process_table(processes), ""] if processes else []),
        *[f"- {row['case']}: {', '.join(row['bad'])} {row.get('error') or row.get('broken') or ''}" for row in bad],
    ]


def totals(rows: Sequence[FaultRow]) -> list[str]:
    """A line a part, and one of all."""
    heads = ("part", "injected", "named, of those to be named", "limits broken", "episodes lost", "bad", "not run")
    return _table(heads, [_total(part, of) for part, of in {**_parts(rows), "all": rows}.items()])


def session_table(rows: Sequence[FaultRow]) -> list[str]:
    """A line a part and kind of fault."""
    kinds: dict[tuple[str, str], list[FaultRow]] = {}
    for row in rows:
        part, rest = row["case"].split(": ", 1)
        kinds.setdefault((part, rest.split(", from")[0].split(", after")[0]), []).append(row)
    lines = []
    for (part, kind), of in kinds.items():
        names = sorted({name for row in of for name in (*row["events"], row["ended"]) if name})
        broken, saved = sum(len(row["broken"]) for row in of), sum(row["saved"] for row in of)
        lines.append([part, kind, len(of), ", ".join(names) or "–", broken, saved, _reasons(of)])
    return _table(("part", "fault", "injected", "told as", "limits broken", "episodes saved", "bad"), lines)


def process_table(rows: Sequence[FaultRow]) -> list[str]:
    """What became of each fault of a process, as lines of a Markdown table."""
    heads = ("fault", "episodes whole after it", "typed again", "lost", "taken for whole", "bad")
    lines = []
    for row in rows:
        if row["not_run"]:
            lines.append([row["case"], "–", "–", "–", "–", f"not run: {row['not_run']}"])
        else:
            lost, half = len(row["lost"]), len(row["half"])
            lines.append([row["case"], row["before"], row["after"], lost, half, _reasons([row])])
    return _table(heads, lines)


def _parts(rows: Sequence[FaultRow]) -> dict[str, list[FaultRow]]:
    found: dict[str, list[FaultRow]] = {}
    for row in rows:
        part = row["case"].split(": ", 1)[0] if row["what"] == "session" else "process and disk"
        found.setdefault(part, []).append(row)
    return found


def _total(part: str, rows: Sequence[FaultRow]) -> list[object]:
    ran = [row for row in rows if not row.get("not_run")]
    to_name = [row for row in ran if row["named"] is not None]
    lost = sum(row["lost"] if isinstance(row["lost"], int) else len(row["lost"]) for row in ran)
    return [
        part,
        sum(row["happened"] for row in ran),
        f"{sum(row['named'] for row in to_name)} of {len(to_name)}",
        sum(len(row.get("broken", ())) for row in ran),
        lost,
        sum(bool(row["bad"]) for row in ran),
        len(rows) - len(ran),
    ]


def _reasons(rows: Iterable[FaultRow]) -> str:
    return ", ".join(sorted({why for row in rows for why in row["bad"]})) or "none"


def _table(heads: Sequence[str], lines: Iterable[Sequence[object]]) -> list[str]:
    rows = [f"| {' | '.join(map(str, cells))} |" for cells in (heads, *lines)]
    return [rows[0], "|---" * len(heads) + "|", *rows[1:]]
