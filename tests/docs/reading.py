"""Reads READMEs: their blocks of code, their links, their headings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

root = Path(__file__).parents[2]
left_out = {".venv", "node_modules", "dist", "build"}

fence = re.compile(r"^```(?P<language>\w*)(?: title=(?P<title>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
link = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
heading = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its title if it has one, and where it stands."""

    path: Path
    line: int
    language: str
    title: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(root)}:{self.line}"


def readmes() -> list[Path]:
    """Every Markdown file of the repository."""
    paths = (path for path in root.rglob("*.md") if not left_out & set(path.relative_to(root).parts))
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(root).parts))


def blocks(path: Path) -> Iterator[Block]:
    text = path.read_text("utf-8")
    for found in fence.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(path, line, found["language"], found["title"], found["text"])


def block(path: Path, language: str, title: str) -> str:
    """The text of the one block of this language and title."""
    (found,) = [one.text for one in blocks(path) if (one.language, one.title) == (language, title)]
    return found


def prose(path: Path) -> str:
    """The text without its blocks."""
    return fence.sub("", path.read_text("utf-8"))


def anchors(path: Path) -> set[str]:
    """The names under which a file's headings can be linked to."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in heading.findall(prose(path))}


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that finds this repository's packages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "participants" / "sdk")]), **more}
