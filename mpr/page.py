"""A run as one page: Markdown, pictures and films in a single HTML file that opens anywhere and can be sent on."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import markdown

from tracking.errors import UserError
from tracking.runs import write_atomic

MEDIA = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4"}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; display: block; overflow-x: auto } td, th { padding: .3rem .8rem; text-align: left }
tr + tr, tbody tr { border-top: 1px solid #ddd } img, video { max-width: 100%; height: auto }
figure { margin: 1.5rem 0 } figcaption { color: #666; font-size: .85rem } pre { overflow-x: auto; background: #f6f6f6 }
"""


def write_page(path: Path, text: str, media: Sequence[Path] = ()) -> None:
    """Write `text` (Markdown, tables included, its first line the title) and the pictures and films (PNG, JPEG, MP4)
    under it, each with its file's name. Nothing is loaded from elsewhere. Raises UserError for another kind of file."""
    title = text.partition("\n")[0].lstrip("# ")
    body = markdown.markdown(text, extensions=["tables", "fenced_code"])
    figures = "\n".join(_figure(file) for file in media)
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    )
    write_atomic(
        path,
        f"<!doctype html>\n<html><head>{head}<style>{STYLE}</style></head>\n<body>{body}\n{figures}</body></html>\n",
    )


def _figure(file: Path) -> str:
    kind = MEDIA.get(file.suffix)
    if kind is None:
        raise UserError(f"{file}: a page holds {', '.join(MEDIA)} files")
    source = f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
    name = html.escape(file.stem)
    film = f'<video src="{source}" controls loop muted></video>'
    shown = film if kind.startswith("video") else f'<img src="{source}" alt="{name}">'
    return f"<figure>{shown}<figcaption>{name}</figcaption></figure>"
