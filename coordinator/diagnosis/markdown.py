"""A report written down: as Markdown, and as lines for a terminal.

Names and errors in it came from anywhere. In Markdown no text makes a link, an image, a heading or HTML: what means
something to a renderer is escaped, and words that one would turn into links stand as code. For a terminal, what would
move its cursor is replaced.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from coordinator.diagnosis.outline import Entry, Outline, Part, brief, outline
from coordinator.diagnosis.report import Report

told_briefly = ("How it came about", "Did it happen?", "Left to do by hand", "What to do", "Seen before")
width_min = 40

_special = re.compile(r"[\\`*_\[\]<>&|~$#!{}]")
_opening = re.compile(r"^(\d+)([.)])|^([-+=])")  # what begins a list or a heading where it begins a line
_word = re.compile(r"^([(“„\"'‘]*)(.*?)([)”\"'’,.;:!?…]*)$")
# Names with dots, underscores, slashes or colons in them, and whatever a renderer may take for an address.
_code = re.compile(r"\w[._/:@#=\\-]*[_/:@#=\\]\w|[^\W\d_][.][^\W\d_]|[@#]\w|\w@|://|`")
_time = re.compile(r"\d\d:\d\d(:\d\d)?")


def as_markdown(report: Report) -> str:
    told = outline(report)
    lines = [f"# {_prose(told.headline)}", ""]
    lines += [_item(entry, "-") for entry in told.summary]
    if told.quote:
        lines += [
            "",
            "The error, without what differs from one to the next:",
            "",
            "```text",
            _fenced(told.quote),
            "```",
        ]
    for part in told.parts:
        lines += ["", f"## {part.title}", ""]
        lines += [_item(entry, f"{number}." if part.numbered else "-") for number, entry in enumerate(part.entries, 1)]
    lines += ["", "---", "", _prose(told.made)]
    return "\n".join(lines) + "\n"


def _item(entry: Entry, bullet: str) -> str:
    mark = f"**{_prose(entry.mark)}** " if entry.mark else ""
    cites = "".join(f" `{cited}`" for cited in entry.cites)
    return f"{bullet} {mark}{_prose(entry.text)}{cites}"


def _prose(text: str) -> str:
    """Text that comes out of a renderer as it went in, and does nothing on the way."""
    words = [_rendered(word) for word in _plain(text).split()]
    line = " ".join(words)
    return _opening.sub(lambda found: f"{found[1]}\\{found[2]}" if found[1] else f"\\{found[3]}", line)


def _rendered(word: str) -> str:
    found = _word.match(word)
    before, core, after = found.groups() if found else ("", word, "")
    if _code.search(core) and not _time.fullmatch(core):
        return f"{_escaped(before)}`{core.replace('`', chr(39))}`{_escaped(after)}"
    return _escaped(word)


def _escaped(text: str) -> str:
    return _special.sub(lambda found: "\\" + found[0], text)


def _fenced(text: str) -> str:
    """One line that can't end the fence it stands in."""
    return _plain(text).replace("```", "'''")


def _plain(text: str) -> str:
    """One line, without what moves a cursor, is invisible, or turns text around."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


# --- for a terminal ---------------------------------------------------------------------------------------------------


def as_lines(report: Report, width: int = 100, *, whole: bool = True) -> list[str]:
    """Lines of at most `width` characters. Not `whole`: without the reasons and the evidence."""
    told = outline(report)
    if not whole:
        told = brief(told, told_briefly)
    return list(_lines(told, max(width, width_min), cited=whole))


def _lines(told: Outline, width: int, *, cited: bool) -> Iterable[str]:
    yield from _wrapped(told.headline, width)
    yield ""
    summary = Part("", (*told.summary, Entry(f"“{told.quote}”", "error")) if told.quote else told.summary)
    yield from _part(summary, width, cited=cited)
    for part in told.parts:
        yield ""
        yield part.title
        yield from _part(part, width, cited=cited)
    if cited:
        yield ""
        yield from _wrapped(told.made, width)


def _part(part: Part, width: int, *, cited: bool) -> Iterable[str]:
    """The marks in a column of their own, the sentences beside them."""
    marks = [_mark(part, number, entry) for number, entry in enumerate(part.entries, 1)]
    column = max(map(len, marks))
    gap = "  " if any(entry.mark for entry in part.entries) else " "
    for mark, entry in zip(marks, part.entries, strict=True):
        cites = f" [{' '.join(entry.cites)}]" if cited and entry.cites else ""
        before = f"  {mark:<{column}}{gap}" if column else "  "
        yield from _wrapped(_plain(entry.text) + cites, width, before)


def _mark(part: Part, number: int, entry: Entry) -> str:
    return _plain(f"{number}. {entry.mark}".rstrip() if part.numbered else entry.mark)


def _wrapped(text: str, width: int, before: str = "") -> list[str]:
    # A name or an id that is cut by the end of a line can't be found again, so only what is longer than a line is cut.
    return textwrap.wrap(
        _plain(text),
        width,
        initial_indent=before,
        subsequent_indent=" " * len(before),
        break_on_hyphens=False,
    )
