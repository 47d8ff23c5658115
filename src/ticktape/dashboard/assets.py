"""The files of the page: a fixed list, read once; no path is ever made of what a browser asks."""

import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

PAGE: Final = "page.html"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_STYLE: Final = "text/css; charset=utf-8"
TYPES: Final = {
    PAGE: "text/html; charset=utf-8",
    "page.css": _STYLE,
    "icon.svg": "image/svg+xml",
    "main.js": _SCRIPT,
    "words.js": _SCRIPT,
    "values.js": _SCRIPT,
    "symbol.js": _SCRIPT,
    "stages.js": _SCRIPT,
    "day.js": _SCRIPT,
    "run.js": _SCRIPT,
    "uPlot.iife.min.js": _SCRIPT,
    "uPlot.min.css": _STYLE,
    "LICENSES.txt": "text/plain; charset=utf-8",
}
"""Name -> content type."""


class Asset(NamedTuple):
    """A file as it is sent."""

    content: bytes
    content_type: str
    etag: str


def load_assets() -> dict[str, Asset]:
    """All files of the page by name."""
    folder = files("ticktape.dashboard") / "static"
    found = {}
    for name, content_type in TYPES.items():
        content = (folder / name).read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        found[name] = Asset(content, content_type, etag)
    return found
