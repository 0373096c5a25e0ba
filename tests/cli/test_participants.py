"""`amends dev --participants module:name`: a coordinator with participants of one's own in the same process."""

from __future__ import annotations

import signal
from pathlib import Path

from amends.client import Client
from tests.cli.test_cli import amends, start

greeter = '''
from amends import Participant

greeter = Participant("greeter", inbox=None)


@greeter.action("greet")
async def greet(data: dict) -> dict:
    return {"said": f"Hello, {data['input']}"}
'''
document = {
    "name": "greeting",
    "steps": [{"name": "greet", "participant": "greeter", "action": "greet", "kind": "readonly"}],
}


async def test_participants_named_on_the_command_line_answer(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(greeter)
    running = await start(tmp_path, "dev", "--participants", "mine:greeter")
    async with Client(running.url) as client:
        await client.define(document)
        saga_id = (await client.start("greeting", "Ann"))["id"]
        ended = await client.wait(saga_id, timeout_seconds=30)
    assert ended["status"] == "completed"
    running.process.send_signal(signal.SIGTERM)
    assert await running.ends() == 0


async def test_a_place_that_holds_no_participants_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("greeter = 5")
    database = f"sqlite:///{tmp_path / 'amends.db'}"
    ran = await amends("dev", "--port", "0", "--participants", "amends.errors:Refused", AMENDS_DATABASE_URL=database)
    assert ran.code == 2
    assert "'amends.errors:Refused'" in ran.out + ran.err


async def test_participants_need_the_broker_in_process() -> None:
    ran = await amends("dev", "--participants", "mine:greeter", AMENDS_BROKER_URL="amqp://127.0.0.1:1/")
    assert ran.code == 2
    assert "AMENDS_BROKER_URL" in ran.err
