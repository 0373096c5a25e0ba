"""The dashboard as files, and how they are served: exact types, strict headers, cached by what they hold.

The page and its modules are static. Everything but the page lies under an address that holds a digest of all of it, so
that a browser keeps it for as long as it likes and still never mixes two releases. The page itself is asked for anew
each time; it says where the rest is, and below which path the coordinator lives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path

home = Path(__file__).parent
page_name = "index.html"
not_modules = ("first.js",)  # it runs before the modules do

# The first part of every address that a page of the dashboard has, besides "/"; `pages.js` has the same.
pages = (
    "sagas",
    "incidents",
    "definitions",
    "participants",
    "dead-letters",
    "notifications",
    "access",
    "audit",
)

media_types = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

policy = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

headers: Mapping[str, str] = {
    "Content-Security-Policy": policy,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is sent."""

    content: bytes
    media_type: str

    @property
    def tag(self) -> str:
        return f'"{sha256(self.content).hexdigest()[:32]}"'


class Dashboard:
    """The files, as they are on disk now. `base_path` is what comes before "/" in a browser's address bar."""

    def __init__(self, base_path: str = "", folder: Path = home) -> None:
        self.base_path, self._folder = base_path, folder
        self._stamp: tuple[int, ...] = ()
        self._files: Mapping[str, File] = {}
        self._digest = ""
        self._page = File(b"", "")
        self._refresh()

    @property
    def digest(self) -> str:
        """Of all files: it is part of their addresses."""
        return self._digest

    def page(self) -> File:
        """The page. Whoever edits a file sees it when they load the page again."""
        self._refresh()
        return self._page

    def find(self, path: str) -> File | None:
        """A module, a style or a picture, by its path within the folder."""
        return self._files.get(path)

    def _refresh(self) -> None:
        found = sorted(path for path in self._folder.rglob("*") if path.suffix in media_types)
        stamp = tuple(path.stat().st_mtime_ns for path in found)
        if stamp == self._stamp:
            return
        files = {
            path.relative_to(self._folder).as_posix(): File(path.read_bytes(), media_types[path.suffix])
            for path in found
        }
        whole = sha256()
        for name, file in files.items():
            whole.update(f"{name} {len(file.content)}\n".encode() + file.content)
        template = files.pop(page_name)
        self._digest = whole.hexdigest()[:16]
        self._page = File(self._filled(template.content.decode(), files).encode(), template.media_type)
        self._files, self._stamp = files, stamp

    def _filled(self, template: str, files: Mapping[str, File]) -> str:
        """The page, with the base path, and with everything named that a browser will need, so that it asks at once."""
        place = f"dashboard/{self._digest}"
        styles = sorted((name for name in files if name.endswith(".css")), key=lambda name: (name.count("/"), name))
        links = [f'<link rel="stylesheet" href="{place}/{name}">' for name in styles]
        links += [
            f'<link rel="modulepreload" href="{place}/{name}">'
            for name in files
            if name.endswith(".js") and name not in not_modules
        ]
        return (
            template.replace("{base}", escape(f"{self.base_path}/"))
            .replace("{place}", place)
            .replace("{links}", "\n    ".join(links))
        )
