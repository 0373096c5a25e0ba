"""The log lines a handler writes, kept beside the logging that is set up, so that a failure can show its last words."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from amends.message import log_line_chars_max, log_lines_max

# Whose lines these are is known by the context alone: tasks and threads that a handler starts inherit it.
_lines: ContextVar[tuple[LogLines, deque[str]] | None] = ContextVar("amends_log_lines", default=None)


def clean_text(text: str, chars_max: int) -> str:
    """The text as it may travel: bounded, without NUL and lone surrogates."""
    return text[:chars_max].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


class LogLines(logging.Handler):
    """Listens at the root logger while some handler runs, and gives each its own lines.

    It sees what the program's own levels and filters let through, and nothing else.
    """

    def __init__(self) -> None:
        super().__init__()
        self._listeners = 0

    @contextmanager
    def capture(self) -> Iterator[deque[str]]:
        """Collect the lines of this context: the last `log_lines_max`."""
        lines: deque[str] = deque(maxlen=log_lines_max)
        token = _lines.set((self, lines))
        self._listeners += 1
        if self._listeners == 1:
            logging.getLogger().addHandler(self)
        try:
            yield lines
        finally:
            _lines.reset(token)
            self._listeners -= 1
            if self._listeners == 0:
                logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line if it belongs to someone. Passes it on where logging isn't set up and we'd hide the default."""
        current = _lines.get()
        if current is not None and current[0] is self:
            try:
                line = f"{record.levelname} {record.name}: {record.getMessage()}"
            except (TypeError, ValueError, KeyError):  # arguments that don't fit their format
                self.handleError(record)
            else:
                current[1].append(clean_text(line, log_line_chars_max))
        if self._hides_the_default() and logging.lastResort is not None and record.levelno >= logging.WARNING:
            logging.lastResort.handle(record)

    def _hides_the_default(self) -> bool:
        """Whether logging isn't set up, so that this handler alone keeps warnings from standard error.

        Of several participants in one process, the first passes them on.
        """
        handlers = logging.getLogger().handlers
        return handlers[:1] == [self] and all(isinstance(handler, LogLines) for handler in handlers)
