"""Tables full of sagas, made by the database itself out of one that was real."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from bench.race.ours import Ours
from bench.speed import shop

chunk = 100_000

# A saga's number is n, and its id is older than any real one's. One in ten failed at its last step, one in a thousand
# waits for a reply.
made_id = "'019ca945-0a7b-7000-8000-' || lpad(to_hex(n), 12, '0')"
made_sagas: Mapping[str, str] = {
    "id": made_id,
    "definition": "CASE n % 50 WHEN 3 THEN 'rare' ELSE definition END",
    "status": "CASE WHEN n % 1000 = 0 THEN 'running' WHEN n % 10 = 1 THEN 'compensated' ELSE status END",
    "failed_step": "CASE WHEN n % 10 = 1 THEN 'ship' END",
    "waiting_on": "CASE WHEN n % 1000 = 0 THEN 'reply' END",
    "waiting_for": "CASE WHEN n % 1000 = 0 THEN 'payment' END",
    "business_key": "'order-' || n",
    "created_at": "created_at - 864000000000 + n",
    "updated_at": "updated_at - 864000000000 + n",
    "finished_at": "CASE WHEN n % 1000 <> 0 THEN finished_at - 864000000000 + n END",
    "record": f"replace(record, id, {made_id})",
}
of_made: Mapping[str, str] = {"saga_id": made_id}

beside = f"""
INSERT INTO saga_tags SELECT 'tag-' || n % 1000, {made_id} FROM generate_series($1::int, $2::int) n;
INSERT INTO idempotency (caller, key, body_hash, saga_id, created_at)
SELECT '', 'key-' || n, '', {made_id}, 0 FROM generate_series($1::int, $2::int) n;
INSERT INTO failed_steps (saga_id, step, kind, at, definition, version, participant, cause, error_type, code, template,
                          fingerprint, family, worker, worker_version, attempts, incident_id)
SELECT {made_id}, 'ship', 'action', n, 'order', 1, 'delivery', 'failed', '', '', '', 'f' || n / 1000,
       'delivery:' || n / 1000, '', '', 1, 'i' || n / 1000
FROM generate_series($1::int, $2::int) n WHERE n % 10 = 1
"""


async def copies(connection: asyncpg.Connection, table: str, key: str, changed: Mapping[str, str]) -> str:
    """The statement that copies the rows of one saga ($1) for each number from $2 to $3, some columns changed."""
    columns = await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = $1 AND table_schema = 'public' "
        "ORDER BY ordinal_position",
        table,
    )
    names = [row["column_name"] for row in columns]
    values = [changed.get(name, f'"{name}"') for name in names]
    listed = ", ".join(f'"{name}"' for name in names)
    return (
        f"INSERT INTO {table} ({listed}) SELECT {', '.join(values)} "
        f"FROM {table}, generate_series($2::int, $3::int) AS n WHERE {table}.{key} = $1"
    )


async def fill(product: Ours, count: int) -> None:
    """So many sagas with all that belongs to them. The real one stays the newest."""
    await product.register({**shop.document(), "name": "rare"})
    saga_id = await product.run()
    connection = await asyncpg.connect(product.dsn())
    try:
        statements = [
            await copies(connection, "sagas", "id", made_sagas),
            await copies(connection, "steps", "saga_id", of_made),
            await copies(connection, "history", "saga_id", of_made),
        ]
        for first in range(1, count + 1, chunk):
            last = min(count, first + chunk - 1)
            async with connection.transaction():
                for statement in statements:
                    await connection.execute(statement, saga_id, first, last)
                for statement in beside.split(";"):
                    await connection.execute(statement, first, last)
        for table in ("sagas", "steps", "history", "saga_tags", "idempotency", "failed_steps"):
            await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()
