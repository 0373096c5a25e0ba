"""The first README's example, as a reader would try it: saved to files, run, tested, and split into processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.building import build
from coordinator.config import Settings
from coordinator.engine import Beginning
from coordinator.saga.state import Saga
from tests.docs.reading import block, blocks, environment, root
from tests.waiting import eventually

readme = root / "README.md"

# Each starts several processes, and libraries take their time to load on a busy machine.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the example's files in it."""
    for one in blocks(readme):
        if one.language == "python":
            assert one.title, f"{one} is saved under no name"
            (tmp_path / one.title).write_text(one.text, "utf-8")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=150
    )


def test_the_first_saga_prints_what_the_readme_says_the_second_time_too(folder: Path) -> None:
    for _ in range(2):
        done = run(folder, "-W", "error", "shop.py")
        assert done.returncode == 0, done.stderr
        assert done.stdout == block(readme, "text", "shop.py")


def test_its_tests_pass(folder: Path) -> None:
    done = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "test_shop.py")
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_the_definition_shown_is_the_one_built(folder: Path) -> None:
    done = run(folder, "-c", "import json, shop; print(json.dumps(shop.place_order.document()))")
    assert json.loads(done.stdout) == json.loads(block(readme, "json", "place_order.json"))


async def test_its_services_run_in_processes_of_their_own(
    folder: Path, fresh_rabbitmq_url: str, fresh_postgres_url: str
) -> None:
    app = await build(Settings(database_url=fresh_postgres_url, broker_url=fresh_rabbitmq_url))
    services = []
    try:
        await app.start()
        for name in ("inventory", "payment"):
            service = await asyncio.create_subprocess_exec(
                sys.executable, "service.py", name, cwd=folder, env=environment(AMENDS_BROKER_URL=fresh_rabbitmq_url)
            )
            services.append(service)

        async def attended() -> bool:
            workers = await app.stores.fleet.workers(app.clock.now())
            return {worker.beat.participant for worker in workers} == {"inventory", "payment"}

        await eventually(attended, "both services to be there")
        definition = await app.definitions.register(json.loads(block(readme, "json", "place_order.json")), by="test")
        saga_id = (await app.engine.start(Beginning(definition, {"sku": "lamp", "total": 30}))).saga_id

        async def ended() -> Saga | None:
            found = (await app.stores.sagas.load([saga_id]))[saga_id]
            assert isinstance(found, Saga)
            return found if found.final else None

        assert (await eventually(ended, "the saga to end")).status == "completed"
    finally:
        for service in services:
            service.terminate()
            await service.wait()
        await app.stop()
