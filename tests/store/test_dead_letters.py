"""Dead letters are kept whatever is in them, found again, and resolved once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from coordinator.store.database import Database
from coordinator.store.dead_letters import DeadLetterStore, body_chars_max, kept, reason_chars_max
from coordinator.store.values import DeadLetter, DeadLetterFilter, DeadLetterStatus
from tests.store.made import later, noon


@pytest.fixture
def dead_letters(database: Database) -> DeadLetterStore:
    return DeadLetterStore(database)


def letter(letter_id: str, **values: Any) -> DeadLetter:
    return replace(DeadLetter(letter_id, noon, "replies", "unknown saga", "{}"), **values)


async def test_a_letter_comes_back_as_it_was_kept(dead_letters: DeadLetterStore) -> None:
    one = letter("1", participant="payment", saga_id="s", command_key="charge/0/action/0/1", body='{"ünï": 1}')
    await dead_letters.keep([one])
    assert await dead_letters.get("1") == one
    assert await dead_letters.get("2") is None


async def test_what_no_database_can_hold_is_kept_legibly(dead_letters: DeadLetterStore) -> None:
    wild = letter("\x00", reason="\ud800" + "x" * 9999, body="a\x00b" + "y" * 99_999, saga_id="\x00" * 9999)
    await dead_letters.keep([wild])
    (kept,) = (await dead_letters.page()).items
    assert kept.id == "\\x00"
    assert kept.reason.startswith("\\ud800xxx")
    assert kept.body.startswith("a\\x00b")
    assert len(kept.reason) <= reason_chars_max + 10
    assert len(kept.body) <= body_chars_max + 10


async def test_the_same_message_again_is_counted(dead_letters: DeadLetterStore) -> None:
    await dead_letters.keep([letter("1"), letter("1", reason="another"), letter("2"), letter("1")])
    await dead_letters.keep([letter("2")])
    assert await dead_letters.get("1") == letter("1", redelivered=2)
    assert await dead_letters.get("2") == letter("2", redelivered=1)


async def test_pages_are_newest_first_and_stay_put(dead_letters: DeadLetterStore) -> None:
    await dead_letters.keep([letter(f"{n:02}", at=later(n // 4)) for n in range(25)])  # four at the same moment
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page = await dead_letters.page(limit=10, cursor=cursor)
        seen += [item.id for item in page.items]
        cursor = page.cursor
        await dead_letters.keep([letter(f"new {len(seen)}", at=later(9999))])
    assert cursor is None
    assert seen == [f"{n:02}" for n in reversed(range(25))]
    with pytest.raises(ValueError, match="invalid literal"):
        await dead_letters.page(cursor="rubbish")


async def test_each_filter_finds_what_it_names(dead_letters: DeadLetterStore) -> None:
    await dead_letters.keep([letter("1", participant="payment"), letter("2", saga_id="s"), letter("3", source="dead")])
    await dead_letters.resolve("3", DeadLetterStatus.DISCARDED, by="ann", why="test", now=later(1))

    async def found(**values: Any) -> list[str]:
        page = await dead_letters.page(replace(DeadLetterFilter(), **values))
        return [item.id for item in page.items]

    assert await found() == ["3", "2", "1"]
    assert await found(participant="payment") == ["1"]
    assert await found(saga_id="s") == ["2"]
    assert await found(source="dead") == ["3"]
    assert await found(status=DeadLetterStatus.OPEN) == ["2", "1"]
    assert await found(status=DeadLetterStatus.OPEN, source="dead") == []


async def test_the_first_to_resolve_a_letter_wins(dead_letters: DeadLetterStore) -> None:
    await dead_letters.keep([letter("1")])
    both = [DeadLetterStatus.REDRIVEN, DeadLetterStatus.DISCARDED] * 5
    answers = await asyncio.gather(
        *(dead_letters.resolve("1", status, by=f"{n}", why="w", now=later(n)) for n, status in enumerate(both))
    )
    assert sum(answers) == 1
    winner = answers.index(True)
    kept = await dead_letters.get("1")
    assert kept == letter(
        "1", status=both[winner], resolved_at=later(winner), resolved_by=f"{winner}", resolved_why="w"
    )
    assert not await dead_letters.resolve("unknown", DeadLetterStatus.REDRIVEN, by="a", why="w", now=noon)
    with pytest.raises(ValueError, match="is not open"):
        await dead_letters.resolve("1", DeadLetterStatus.OPEN, by="a", why="w", now=noon)


async def test_what_was_dealt_with_long_ago_is_forgotten_and_what_waits_never(dead_letters: DeadLetterStore) -> None:
    await dead_letters.keep([letter("1"), letter("2"), letter("3")])
    much_later = noon + kept + timedelta(days=1)
    await dead_letters.resolve("1", DeadLetterStatus.DISCARDED, by="a", why="w", now=noon)
    await dead_letters.resolve("2", DeadLetterStatus.REDRIVEN, by="a", why="w", now=much_later)
    assert await dead_letters.prune(noon + kept) == 0
    assert [await dead_letters.prune(much_later) for _ in range(2)] == [1, 0]
    assert [await dead_letters.get(one) is None for one in "123"] == [True, False, False]
