"""The command `amends`: a coordinator as a process, and the commands that ask it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.web.conftest import chain

root = Path(__file__).parents[2]
command = (sys.executable, "-c", "from coordinator.cli import main; main()")


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AMENDS_", "OTEL_"))}
    return {**kept, "PYTHONPATH": f"{root}:{root / 'participants/sdk'}", "PYTHONUNBUFFERED": "1", **settings}


@dataclass
class Ran:
    code: int
    out: str
    err: str


async def amends(*arguments: str, stdin: str = "", **settings: str) -> Ran:
    """Run the command to its end."""
    process = await asyncio.create_subprocess_exec(
        *command, *arguments, env=environment(**settings),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(40):
        out, err = await process.communicate(stdin.encode())
    return Ran(process.returncode or 0, out.decode(), err.decode())


@dataclass
class Running:
    """A coordinator as a process."""

    process: asyncio.subprocess.Process
    url: str
    said: list[str]

    async def ends(self) -> int:
        assert self.process.stdout
        async with asyncio.timeout(30):
            self.said += (await self.process.stdout.read()).decode().splitlines()
            return await self.process.wait()


async def start(folder: Path, *arguments: str, **settings: str) -> Running:
    database = f"sqlite:///{folder / 'amends.db'}"
    process = await asyncio.create_subprocess_exec(
        *command, *arguments, "--port", "0", env=environment(AMENDS_DATABASE_URL=database, **settings), cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout
    said: list[str] = []
    async with asyncio.timeout(40):
        while line := (await process.stdout.readline()).decode():
            said.append(line.rstrip())
            found = re.search(r"(?:API +|listens at )(http://[^/ \"]+)", line)
            if found:
                return Running(process, found[1], said)
    raise AssertionError("\n".join(said))


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    running = await start(tmp_path, "dev")
    yield running
    if running.process.returncode is None:
        running.process.kill()
        await running.ends()


@pytest.mark.slow
async def test_a_definition_is_registered_and_a_saga_started_shown_listed_and_cancelled(
    running: Running, tmp_path: Path
) -> None:
    file = tmp_path / "chain.json"
    file.write_text(json.dumps(chain))
    at = {"AMENDS_URL": running.url}

    registered = await amends("definitions", "register", str(file), **at)
    assert (registered.code, registered.out.splitlines()[0]) == (0, "chain version 1 registered")
    assert "no live worker" in registered.out
    started = await amends("start", "chain", "--input", '{"n": 1}', "--key", "k", "-o", "json", **at)
    saga_id = json.loads(started.out)["id"]
    again = await amends("start", "chain", "--input", "-", "--key", "k", stdin='{"n": 1}', **at)
    assert again.out.strip() == saga_id
    shown = await amends("show", saga_id, **at)
    assert "running" in shown.out
    assert re.search(r"reserve +dispatched +1", shown.out)
    listed = await amends("list", "--definition", "chain", "-o", "json", **at)
    assert [saga["id"] for saga in json.loads(listed.out)] == [saga_id]
    cancelled = await amends("cancel", saga_id, "--reason", "enough", **at)
    assert "cancelled: enough" in cancelled.out
    document = await amends("definitions", "show", "chain", "-o", "json", **at)
    assert json.loads(document.out)["document"] == chain
    assert "chain" in (await amends("definitions", "list", **at)).out


@pytest.mark.slow
async def test_what_is_refused_is_a_sentence_and_an_exit_code(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "faulty.yaml"
    file.write_text("name: faulty\nsteps: [{name: a, participant: p, action: do}]\n")
    at = {"AMENDS_URL": running.url}

    faulty = await amends("definitions", "register", str(file), **at)
    assert faulty.code == 1
    assert "no-way-back (step a)" in faulty.err
    unknown = await amends("start", "nothing", **at)
    assert (unknown.code, unknown.out) == (4, "")
    assert "There is no such definition" in unknown.err
    assert (await amends("start", "x", "--input", "{", **at)).code == 2
    assert (await amends("definitions", "register", str(tmp_path / "none.json"), **at)).code == 2


@pytest.mark.slow
async def test_it_ends_well_when_it_is_asked_to_though_somebody_waits(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "chain.json"
    file.write_text(json.dumps(chain))
    await amends("definitions", "register", str(file), AMENDS_URL=running.url)
    waiting = asyncio.ensure_future(amends("start", "chain", "--wait", "--timeout", "20s", AMENDS_URL=running.url))
    host, port = running.url.removeprefix("http://").split(":")
    async with asyncio.timeout(20):
        while True:  # until the saga is there, and somebody waits for it
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /v1/sagas HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            text = await reader.read()
            writer.close()
            await writer.wait_closed()
            if b'"items":[{' in text:
                break
            await asyncio.sleep(0.05)

    running.process.send_signal(signal.SIGTERM)

    async with asyncio.timeout(12):
        assert await running.ends() == 0
    assert "Traceback" not in "\n".join(running.said)
    assert (await waiting).code == 3


@pytest.mark.slow
async def test_the_banner_says_where_everything_is_and_no_password(tmp_path: Path) -> None:
    running = await start(tmp_path, "dev")
    running.process.send_signal(signal.SIGINT)
    assert await running.ends() == 0

    said = "\n".join(running.said)
    for name in ("mode", "database", "broker", "dashboard", "API", "openapi.json", "livez"):
        assert name in said


@pytest.mark.slow
async def test_a_coordinator_in_production_logs_json_and_no_banner(tmp_path: Path) -> None:
    running = await start(tmp_path, "serve", AMENDS_LOG_FORMAT="json")
    running.process.send_signal(signal.SIGTERM)
    assert await running.ends() == 0

    lines = [json.loads(line) for line in running.said]
    assert [line["action"] for line in lines if "listens at" in line["message"]] == ["server.listening"]


async def test_it_listens_to_this_machine_alone_unless_told_otherwise(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'amends.db'}"

    refused = await amends("serve", "--host", "0.0.0.0", "--port", "0", AMENDS_DATABASE_URL=database)

    assert refused.code == 2
    assert "--insecure" in refused.out + refused.err


async def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = await amends("dev", "--port", str(taken.getsockname()[1]), cwd=str(tmp_path))

    assert refused.code == 1
    assert "Can't listen" in refused.out + refused.err
    assert "Traceback" not in refused.out + refused.err


async def test_a_setting_that_makes_no_sense_is_a_sentence() -> None:
    refused = await amends("dev", AMENDS_PORT="seventy")

    assert refused.code == 2
    assert "the setting port" in refused.err


async def test_the_schema_is_upgraded_twice_as_well_as_once(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'deep' / 'amends.db'}"

    for _ in range(2):
        upgraded = await amends("db", "upgrade", AMENDS_DATABASE_URL=database)
        assert (upgraded.code, upgraded.out) == (0, "the schema is up to date\n"), upgraded.err


async def test_who_only_asks_loads_neither_the_web_framework_nor_the_database() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    script = (
        "import sys, typer.testing; from coordinator.cli import app; "
        f"result = typer.testing.CliRunner().invoke(app, ['list', '--url', '{url}']); "
        "heavy = {'litestar', 'sqlalchemy', 'alembic', 'uvicorn', 'aio_pika', 'rich.live'}; "
        "heavy |= {'amends.participant', 'amends.message', 'coordinator.config', 'coordinator.saga'}; "
        "print(result.exit_code, sorted(heavy & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, env=environment(), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()

    assert out.decode().strip() == "3 []"


async def test_it_says_its_version() -> None:
    said = await amends("version")

    assert (said.code, bool(said.out.strip())) == (0, True)
