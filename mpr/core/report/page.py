"""A run as one page: Markdown, images and films in a single HTML file that opens anywhere and can be sent on."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

import markdown

from mpr.core.errors import UserError
from mpr.core.runs import write_atomic

MEDIA = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4"}
_IMAGE = re.compile(r'<img alt="([^"]*)" src="([^"]*)"\s*/?>')
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; display: block; overflow-x: auto } td, th { padding: .3rem .8rem; text-align: left }
tr + tr, tbody tr { border-top: 1px solid #ddd } img, video { max-width: 100%; height: auto }
figure { margin: 1.5rem 0 } figcaption { color: #666; font-size: .85rem } pre { overflow-x: auto; background: #f6f6f6 }
figure.wide { overflow-x: auto } figure.wide img { min-width: 56rem }
"""
_WIDE = 3.0  # images wider than this many times their height scroll where the page is narrow


def media_markdown(*files: Path) -> str:
    """Markdown that shows files (PNG, JPEG, MP4), each with its name under it."""
    return "\n\n".join(f"![{file.stem}]({file})" for file in files)


def write_page(path: Path, text: str) -> None:
    """Write a page of Markdown `text`, its first line the title, as one HTML file that loads nothing from elsewhere.

    Tables are included; `![caption](file)` shows an image or film (PNG, JPEG, MP4; relative to the page). Raises
    UserError for another kind of file.
    """
    title = text.partition("\n")[0].lstrip("# ")
    body = markdown.markdown(text, extensions=["tables", "fenced_code"])
    body = _IMAGE.sub(lambda found: _figure(html.unescape(found[1]), path.parent / html.unescape(found[2])), body)
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    )
    write_atomic(
        path, f"<!doctype html>\n<html><head>{head}<style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


def _figure(caption: str, file: Path) -> str:
    kind = MEDIA.get(file.suffix)
    if kind is None:
        raise UserError(f"{file}: a page holds {', '.join(MEDIA)} files")
    data = file.read_bytes()
    source, text = f"data:{kind};base64,{base64.b64encode(data).decode()}", html.escape(caption)
    film = f'<video src="{source}" controls loop muted></video>'
    image = f'<img src="{source}" alt="{text}">'
    wide = ' class="wide"' if kind == "image/png" and _aspect(data) > _WIDE else ""
    return f"<figure{wide}>{film if kind.startswith('video') else image}<figcaption>{text}</figcaption></figure>"


def _aspect(png: bytes) -> float:
    """Width over height, as the header says."""
    return int.from_bytes(png[16:20], "big") / max(int.from_bytes(png[20:24], "big"), 1)
