"""What the demo knows afterwards: why an order failed, and that it failed like this in an earlier run.

Each run keeps its databases in a folder of its own, so that no order of an earlier one goes on in it. What was learnt
is brought along: the incidents that were over when the last run ended, with their reports, and nothing else.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from rich.box import ROUNDED
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from coordinator.app import App
from coordinator.diagnosis.markdown import as_lines
from coordinator.store.explained import FeedbackRow

width_max = 110
copied = {"incidents": "id", "facets": "incident_id", "reports": "incident_id", "feedback": "incident_id"}


def bring_along(earlier: Path, database: Path) -> None:
    """Let a new coordinator's database know the incidents of an earlier one's, unless another release wrote them."""
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        connection.execute("ATTACH DATABASE ? AS earlier", (f"file:{earlier}?mode=ro",))
        try:
            (release,) = connection.execute("SELECT version_num FROM main.alembic_version").fetchone()
            (written_by,) = connection.execute("SELECT version_num FROM earlier.alembic_version").fetchone()
        except (sqlite3.DatabaseError, TypeError):
            return  # it is no coordinator's database, or one that was never finished
        if release != written_by:
            return
        over = "SELECT id FROM earlier.incidents WHERE status = 'closed' AND cls IS NOT NULL"
        for table, key in copied.items():
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM earlier.{table} WHERE {key} IN ({over})")
        connection.execute("UPDATE incidents SET due_at = NULL")  # each has had its last report
        connection.commit()


async def tell_why(app: App, console: Console, saga_id: str, resolved: str) -> None:
    """Print why a saga failed. `resolved` is what ended it, for the next one like it."""
    diagnosis = app.diagnosis
    if diagnosis is None:
        return
    await diagnosis.watch.flush()
    incidents = {failure.incident_id for failure in await diagnosis.reader.failures_of(saga_id)} - {None}
    for incident_id in sorted(filter(None, incidents)):
        await diagnosis.reporter.refresh(incident_id)
    report = await diagnosis.reporter.explain(saga_id)
    if report is None:
        return
    width = min(console.width, width_max)
    headline, *lines = as_lines(report, width - 4, whole=False)
    text = Text.assemble((headline, "bold"), "\n", "\n".join(lines))
    console.print(Panel(text, box=ROUNDED, title="why", title_align="left", width=width, border_style="dim"))
    now = app.clock.now()
    for incident_id in sorted(filter(None, incidents)):
        said = FeedbackRow(incident_id, report.version, by="demo", at=now, resolution=resolved)
        await diagnosis.reports.say(said)
        await diagnosis.incidents.resolve(incident_id, by="demo", resolution=resolved, now=now)
