"""How PostgreSQL keeps the tables: the room on a page, and when autovacuum comes. SQLite has neither.

Autovacuum comes to a table, at most once a minute, when more of its rows have died than a number and a share of all its
rows; and when more were inserted. Left to itself, these are 50 and a fifth, 1,000 and a fifth. What is said here of a
table goes for its TOAST table, too, but for the fillfactor.
https://www.postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM
https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-STORAGE-PARAMETERS
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _kept(**parameters: float) -> Mapping[str, Any]:
    return {"postgresql_with": parameters}


# Room on the page, so that a row that changes often stays where it is.
changes_often = _kept(fillfactor=70)

# These keep what has ended, so a fifth of them is more the longer they are kept. Until then the entries of dead rows
# fill the busy ends of their indexes, and then somebody has a long turn. Not less than a fiftieth: a turn reads every
# index of the table through, unless dead rows are on fewer pages than that.
_fiftieth = {"autovacuum_vacuum_scale_factor": 0.02}
changes_and_stays = _kept(fillfactor=70, **_fiftieth)

# Nothing in these dies until it is forgotten. A turn because of what was inserted marks the new pages as visible to
# all, which is then no work for whoever must freeze the whole table; it passes over pages and indexes without news.
is_added_to = _kept(autovacuum_vacuum_insert_scale_factor=0.02, **_fiftieth)

# Here every row dies within moments, unless a broker or a participant is away: then there are many, and a share of them
# says nothing about those that have died since. The table is small, so a turn needn't pause for the sake of others;
# with a delay of its own it isn't slowed down either while others clear large tables. And no room on the page: whatever
# changes a row here changes an index, too.
comes_and_goes = _kept(
    autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1_000, autovacuum_vacuum_cost_delay=0
)
