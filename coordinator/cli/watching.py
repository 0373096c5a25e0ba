"""`amends show --watch`: one saga as it moves, redrawn in place until it has ended.

What is drawn is text, whatever it holds: no name and no error of a participant is ever taken for markup.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from amends.client import Client
from coordinator.cli.telling import plain, short

look_seconds = 0.5
error_chars_max = 120

_styles = {
    **dict.fromkeys(("completed", "succeeded"), "green"),
    **dict.fromkeys(("blocked", "failed", "refused"), "bold red"),
    **dict.fromkeys(("compensating", "compensated", "closed", "waived"), "yellow"),
    **dict.fromkeys(("running", "dispatched", "waiting"), "cyan"),
}
_marks = {
    **dict.fromkeys(("completed", "succeeded"), "✓"),
    **dict.fromkeys(("blocked", "failed", "refused"), "✗"),
    **dict.fromkeys(("compensating", "compensated"), "↶"),
    **dict.fromkeys(("dispatched", "waiting", "running"), "…"),
}


async def follow(client: Client, saga_id: str, *, drawn: bool) -> dict[str, Any]:
    """The saga once it has ended; until then drawn at each look. A saga that is blocked is waited for as well."""
    console = Console(highlight=False)
    saga = await client.get(saga_id)
    if not drawn:
        while saga["finished_at"] is None:
            await asyncio.sleep(look_seconds)
            saga = await client.get(saga_id)
        return saga
    # Where nobody looks at a terminal, rich draws once, at the end.
    with Live(picture(saga), console=console, auto_refresh=False) as live:
        while saga["finished_at"] is None:
            await asyncio.sleep(look_seconds)
            saga = await client.get(saga_id)
            live.update(picture(saga), refresh=True)
    return saga


def picture(saga: Mapping[str, Any]) -> Group:
    """The saga as it now stands."""
    progress = saga["progress"]
    head = Text.assemble(
        _text(f"{saga['definition']} version {saga['version']}", "bold"),
        _text(f"  {saga['id']}", "dim"),
        "\n",
        _status(saga["status"]),
        f"  {progress['completed']} of {progress['total']} steps done",
        f", {progress['failed']} failed" if progress["failed"] else "",
    )
    lines = [head]
    if saga["paused"]:
        paused = saga["paused"]
        lines.append(_text(f"paused since {paused['since']} by {paused['by']}: {paused['reason']}", "yellow"))
    if saga["waiting_on"]:
        lines.append(_text(f"waits for: {saga['waiting_on']['message']}"))
    if saga["cause"]:
        cause = saga["cause"]
        lines.append(_text(f"turned: {cause['step'] or ''} {cause['kind']}: {cause['message']}", "yellow"))
    left = [
        _text(f"left behind: {one['step']} ({one['because']}) {one['message']}", "bold red")
        for one in saga["effects_left"]
    ]
    return Group(*lines, _steps(saga), *left)


def _steps(saga: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("step", "status", "attempts", "compensation", "waits", "error"):
        table.add_column(name, header_style="dim", overflow="fold")
    for step in saga["steps"]:
        actions = [one for one in step["attempts"] if one["kind"] == "action"]
        undoing = [one for one in step["attempts"] if one["kind"] == "compensation"]
        error = step["error"] or {}
        table.add_row(
            _text(step["name"]),
            _status(step["status"]),
            _text(str(len(actions)) if actions else ""),
            _text(_undone(step, undoing)),
            _text(f"{step['wait']['kind']} until {step['wait']['due']}" if step["wait"] else ""),
            _text(short(error.get("message") or error.get("type", ""), error_chars_max)),
        )
    return table


def _undone(step: Mapping[str, Any], undoing: list[Any]) -> str:
    tried = f"{len(undoing)} sent" if undoing else ""
    return ", ".join(part for part in (str(step["undone"] or ""), tried) if part)


def _status(status: str) -> Text:
    return _text(f"{_marks.get(status, '·')} {status}", _styles.get(status, ""))


def _text(text: str, style: str = "") -> Text:
    return Text(plain(text), style)
