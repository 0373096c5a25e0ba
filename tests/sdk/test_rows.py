"""A transaction that goes straight to PostgreSQL's driver ends as every other does, whatever becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from amends import Answer, Participant
from amends.database import open_engine
from amends.inbox import SqlInbox
from tests.broker.proxy import proxied, shutdown_of_postgres
from tests.sdk.shop import action

Deed = Callable[[], Awaitable[None]]

# Looks only when a transaction ends. A sequence remembers what a transaction that was lost had counted.
at_commit = """
    CREATE SEQUENCE seen;
    CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does} RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER meddling AFTER UPDATE ON amends_inbox
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION meddle();
"""


class Till:
    """The participant `payment` with a handler that needs no transaction, and does `deeds` one after the other."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.participant = Participant("payment", inbox=SqlInbox(engine), version="1")
        self.deeds: list[Deed] = []
        self.charged = 0
        self.participant.action("charge")(self._charge)

    async def _charge(self) -> dict[str, int]:
        self.charged += 1
        if self.deeds:
            await self.deeds.pop(0)()
        return {"charged": self.charged}

    async def meddle_at_commit(self, does: str) -> None:
        async with self.engine.begin() as connection:
            for statement in at_commit.format(does=does).split(";\n"):
                if statement.strip():
                    await connection.execute(text(statement))

    async def in_transaction(self) -> int:
        """How many connections besides the one that asks are inside a transaction."""
        async with self.engine.connect() as connection:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()"
            return int((await connection.execute(text(f"{asked} AND datname = current_database()"))).scalar_one())

    async def cut(self) -> None:
        """End every connection but the one that does."""
        async with self.engine.connect() as connection:
            others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
            await connection.execute(text(f"SELECT pg_terminate_backend(pid, 5000) {others}"))


@pytest.fixture
async def till(fresh_postgres_url: str) -> AsyncIterator[Till]:
    engine = open_engine(fresh_postgres_url)
    await SqlInbox(engine).create()
    yield Till(engine)
    await engine.dispose()


async def test_a_connection_cut_while_the_handler_runs_is_a_new_transaction(till: Till) -> None:
    till.deeds = [till.cut]
    reply = await till.participant.answer(action())
    assert (reply.answer, reply.result) == (Answer.SUCCEEDED, {"charged": 2})
    assert await till.participant.answer(action()) == reply
    assert till.charged == 2


async def test_a_connection_that_is_about_to_be_cut_is_a_new_transaction_too(fresh_postgres_url: str) -> None:
    async with proxied(fresh_postgres_url) as proxy:
        engine = open_engine(proxy.url)
        await SqlInbox(engine).create()
        till = Till(engine)
        till.deeds = [lambda: proxy.say(shutdown_of_postgres)]
        assert (await till.participant.answer(action())).result == {"charged": 2}

        await proxy.say(shutdown_of_postgres)  # between two commands
        assert (await till.participant.answer(action(saga_id="b"))).result == {"charged": 3}
        await engine.dispose()


async def test_a_connection_cut_while_the_handlers_of_many_run_takes_them_apart(till: Till) -> None:
    till.deeds = [till.cut]
    some = [(action(saga_id=saga), None) for saga in ("a", "b")]
    assert await till.participant.answer_together(some) is None
    again = await till.participant.answer_together(some)
    assert again is not None
    assert [reply.answer for reply in again] == [Answer.SUCCEEDED] * 2


async def test_after_a_commit_that_ended_in_an_error_the_inbox_is_asked(till: Till) -> None:
    await till.meddle_at_commit(
        "IF nextval('seen') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); END IF;"
    )
    reply = await till.participant.answer(action())
    assert (reply.answer, reply.result) == (Answer.SUCCEEDED, {"charged": 2})


async def test_a_commit_that_is_refused_is_the_handlers_failure(till: Till) -> None:
    refuse = "RAISE EXCEPTION 'no more of these' USING ERRCODE = '23514';"
    await till.meddle_at_commit(f"IF NEW.state = 'succeeded' THEN {refuse} END IF;")
    reply = await till.participant.answer(action())
    assert (reply.answer, till.charged) == (Answer.FAILED, 1)
    assert reply.error is not None
    assert "no more of these" in reply.error.message
    assert await till.participant.answer(action()) == reply


async def test_who_is_cancelled_leaves_nobody_a_transaction(till: Till) -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    till.deeds = [wait]
    answering = asyncio.create_task(till.participant.answer(action()))
    await begun.wait()
    assert await till.in_transaction() == 1
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert await till.in_transaction() == 0
    assert (await till.participant.answer(action())).answer is Answer.SUCCEEDED


async def test_an_inbox_in_a_schema_of_its_own_is_found_there(till: Till) -> None:
    async with till.engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA till"))
    engine = till.engine.execution_options(schema_translate_map={None: "till"})
    await SqlInbox(engine).create()
    elsewhere = Till(engine)
    reply = await elsewhere.participant.answer(action())
    assert await elsewhere.participant.answer(action()) == reply
    async with till.engine.connect() as connection:
        counted = [
            (await connection.execute(text(f"SELECT count(*) FROM {schema}.amends_inbox"))).scalar_one()
            for schema in ("till", "public")
        ]
    assert counted == [1, 0]
