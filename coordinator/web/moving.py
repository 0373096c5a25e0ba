"""What has happened to sagas of late, for those who listen, whichever coordinator moved them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from coordinator.store.overview import OverviewReader
from coordinator.web.feed import moment, plain

overlap = timedelta(seconds=3)  # a commit takes a while after its time was taken
remembered_max = timedelta(seconds=60)


class Moving:
    """`look` is for a feed: the sagas that changed since the last look. When they are too many to tell, or nobody has
    looked for too long, it tells everybody to begin anew."""

    def __init__(self, reader: OverviewReader, now: Callable[[], datetime]) -> None:
        self._reader, self._now = reader, now
        self._looked_at: datetime | None = None

    async def look(self) -> Mapping[str, tuple[str, dict[str, Any]]]:
        at = self._now()
        last = self._looked_at or at
        if at - last > remembered_max:
            self._looked_at = at
            return _anew(at)
        found, capped = await self._reader.changed(last - overlap)
        self._looked_at = at
        return _anew(at) if capped else {one.id: ("saga", plain(one)) for one in found}


def _anew(at: datetime) -> Mapping[str, tuple[str, dict[str, Any]]]:
    return {"": ("reset", {"at": moment(at)})}
