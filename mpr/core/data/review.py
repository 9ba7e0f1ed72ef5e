"""Clips judged by eye: a page that shows them all, and the list of those rejected, which training obeys.

The page is `review.html` beside the clips; it shows each clip's overlay and figures, and saves `review.json`, which
belongs beside it. `mpr.core.data.clip_folder.clip_folders` leaves out what that rejects.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from mpr.core.errors import UserError
from mpr.core.json_files import read_object
from mpr.core.runs import write_atomic

DECISIONS = "review.json"


@dataclass(frozen=True)
class ShownRows:
    """One clip on the page; images are relative to it."""

    uid: str
    narration: str
    film: str  # MP4
    still: str  # PNG or JPEG
    figures: Mapping[str, float]


class _Decided(TypedDict):
    rejected: list[str]


def rejected(root: Path) -> frozenset[str]:
    """Names of the clip folders in `root` that a person rejected. Raises UserError where review.json is not one."""
    file = Path(root) / DECISIONS
    if not file.exists():
        return frozenset()
    try:
        names = read_object(file, _Decided)["rejected"]
    except ValueError as error:
        raise UserError(f'{file} is no review ({error}): it holds {{"rejected": [names]}}; save it anew') from error
    return frozenset(names)


def write_review(root: Path, clips: Sequence[ShownRows]) -> Path:
    """review.html in `root`, with what was decided already. Films load when played: thousands of clips are one page."""
    decided = rejected(root)
    cards = "\n".join(_card(clip, clip.uid in decided) for clip in clips)
    names = sorted({name for clip in clips for name in clip.figures})
    options = "".join(f"<option>{html.escape(name)}</option>" for name in names)
    unseen = json.dumps(sorted(decided - {clip.uid for clip in clips})).replace("<", "\\u003c")
    page = PAGE.replace("@OPTIONS@", options).replace("@COUNT@", str(len(clips))).replace("@UNSEEN@", unseen)
    page = page.replace("@CARDS@", cards)
    write_atomic(root / "review.html", page)
    return root / "review.html"


def _card(clip: ShownRows, out: bool) -> str:
    uid, narration = html.escape(clip.uid, quote=True), html.escape(clip.narration)
    figures = " · ".join(f"{html.escape(name)} {value:.3g}" for name, value in clip.figures.items())
    data = html.escape(json.dumps({name: _finite(value) for name, value in clip.figures.items()}), quote=True)
    film, still = html.escape(clip.film, quote=True), html.escape(clip.still, quote=True)
    return (
        f'<article id="{uid}" data-figures="{data}"{" class=out" if out else ""} tabindex=0>'
        f'<video src="{film}" poster="{still}" preload=none loop muted controls></video>'
        f"<h2>{uid}</h2><p>{narration}</p><p><small>{figures}</small></p></article>"
    )


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Clips to review</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 0 1rem; color: #222 }
header { position: sticky; top: 0; background: #fff; padding: .6rem 0; border-bottom: 1px solid #ddd; z-index: 1 }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; padding: 1rem 0 }
article { border: 3px solid #3a3; padding: .4rem; cursor: pointer; overflow-wrap: anywhere }
article.out { border-color: #c33; opacity: .45 } article:focus { outline: 3px solid #36c }
article video { width: 100% } h2 { font-size: 1rem; margin: .3rem 0 } p { margin: .2rem 0 }
</style></head><body>
<header><b>@COUNT@ clips</b>, <span id=rejected></span> rejected. Click a clip, or press <kbd>x</kbd> on it, to reject
it or take it back. Order by <select id=by><option>name</option>@OPTIONS@</select>
<button id=save>Save review.json</button> <small>(put it into the folder of this page)</small></header>
<main>
@CARDS@
</main>
<script>
const main = document.querySelector("main"), all = [...document.querySelectorAll("article")];
const unseen = @UNSEEN@;  // rejected before, and not on this page
// What was clicked outlasts the page: it was written before review.json was, and does not read it.
const key = "review " + location.pathname, clicked = JSON.parse(localStorage.getItem(key) ?? "{}");
const count = () => document.querySelector("#rejected").textContent = all.filter(a => a.className).length;
const flip = a => {
  a.className = a.className ? "" : "out";
  clicked[a.id] = a.className;
  localStorage.setItem(key, JSON.stringify(clicked));
  count();
};
for (const a of all) a.className = clicked[a.id] ?? a.className;
for (const a of all) {
  a.addEventListener("click", e => { if (e.target.tagName != "VIDEO") flip(a); });
  a.addEventListener("keydown", e => { if (e.key == "x") flip(a); });
}
document.querySelector("#by").addEventListener("change", e => {
  const figure = a => JSON.parse(a.dataset.figures)[e.target.value] ?? Infinity;
  const order = e.target.value == "name" ? (a, b) => a.id < b.id ? -1 : 1 : (a, b) => figure(a) - figure(b);
  main.append(...[...all].sort(order));
});
document.querySelector("#save").addEventListener("click", () => {
  const text = JSON.stringify({rejected: [...unseen, ...all.filter(a => a.className).map(a => a.id)].sort()}, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
  link.download = "review.json";
  link.click();
});
count();
</script></body></html>
"""
