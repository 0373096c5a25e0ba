"""The page on how to write a participant: its code runs, and does what the page says."""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from amends import Answer, Command, Kind, Undone
from coordinator.saga.registration import read_definition
from tests.demo.commands import a_command

page = Path(__file__).parents[2] / "participants" / "README.md"


def _block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def theatre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("theatre")
    monkeypatch.setitem(sys.modules, "theatre", module)
    exec(compile(_block("python"), str(page), "exec"), module.__dict__)
    return module


async def test_the_code_on_the_page_books_refuses_and_frees(theatre: Any) -> None:
    def command(kind: Kind, handler: str, saga_id: str) -> Command:
        return a_command("theatre", kind, handler, {"seat": "4A"}, saga_id=saga_id)

    try:
        await theatre.prepare()
        async with theatre.engine.begin() as connection:
            await connection.execute(text("INSERT INTO seats (name) VALUES ('4A')"))
        booked = await theatre.theatre.answer(command(Kind.ACTION, "book", "one"))
        assert booked.result == {"seat": "4A"}
        assert (await theatre.theatre.answer(command(Kind.ACTION, "book", "two"))).answer is Answer.REFUSED
        never = await theatre.theatre.answer(command(Kind.COMPENSATION, "free", "two"))
        assert never.undone is Undone.NOTHING_TO_UNDO
        assert (await theatre.theatre.answer(command(Kind.COMPENSATION, "free", "one"))).undone is Undone.UNDONE
        assert (await theatre.theatre.answer(command(Kind.ACTION, "book", "three"))).answer is Answer.SUCCEEDED
    finally:
        await theatre.engine.dispose()


def test_the_definition_on_the_page_is_accepted() -> None:
    assert read_definition(json.loads(_block("json"))).order == ("seat",)


def test_every_module_here_is_on_the_page() -> None:
    here = {path.stem for path in page.parent.glob("*.py")} - {"__init__"}
    assert [name for name in sorted(here) if f"`{name}`" not in page.read_text("utf-8")] == []
