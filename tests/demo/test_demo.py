"""The demo as somebody runs it who has just found it: it tells five stories, ends with 0, and notices a wrong sum."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from participants.sums import faults

root = Path(__file__).parents[2]


async def _run(folder: Path, *arguments: str, port: int = 0) -> tuple[int | None, str, str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AMENDS_")},
        "PYTHONPATH": f"{root}{os.pathsep}{root / 'participants' / 'sdk'}",
        "AMENDS_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_the_demo_tells_five_stories_and_every_sum_is_right(tmp_path: Path) -> None:
    status, output, errors = await _run(tmp_path, "-m", "participants.demo")
    assert (status, errors) == (0, ""), output + errors
    completed, refused, undone, lost, unreachable = _stories(output)
    assert [mark for mark, _ in completed] == ["✓"] * 6 + ["⚑"]
    assert ("✗", "charge-card") in refused
    assert [step for mark, step in refused if mark == "↩"] == ["turns", "reserve-stock", "create-order"]
    assert [step for mark, step in undone if mark == "✗"] == ["assign-courier"] * 3
    back = [step for mark, step in undone if mark == "↩"]
    assert (back[0], sorted(back[1:3]), back[3]) == ("turns", ["charge-card", "reserve-stock"], "create-order")
    assert ("·", "charge-card") in lost
    assert lost.index(("·", "charge-card")) < lost.index(("?", "charge-card")) < lost.index(("✓", "charge-card"))
    assert [step for mark, step in unreachable if mark == "✗"] == ["charge-card"] * 4
    assert [step for mark, step in unreachable if mark == "↩"] == ["turns", "reserve-stock", "create-order"]
    backoffs = re.findall(r"accepted no connection within 0\.3 s; again in (\d\.\d) s", output)
    assert backoffs == ["0.1", "0.2", "0.4"]
    ends = [dict(story)["⚑"] for story in (completed, refused, undone, lost, unreachable)]
    assert ends == ["completed", "compensated", "compensated", "completed", "compensated"]
    assert "Five orders ended as they should, and every sum is right" in output
    assert re.search(r"curl http://127\.0\.0\.1:\d+/v1/sagas/[0-9a-f-]{36}", output)
    assert "\x1b" not in output  # nobody is there to see colours


async def test_the_demo_says_why_an_order_failed_and_the_next_run_remembers_it(tmp_path: Path) -> None:
    first = await _run(tmp_path, "-m", "participants.demo")
    second = await _run(tmp_path, "-m", "participants.demo")

    assert (first[0], second[0], second[2]) == (0, 0, ""), second[1] + second[2]
    whys = [_whys(output) for _, output, _ in (first, second)]
    assert len(whys[0]) == len(whys[1]) == 3  # a refused card, no courier, a card network that can't be reached
    unreachable = whys[0][2]
    assert re.search(r"cause +dependency card-provider answers too late|can't be reached", unreachable)
    assert re.search(r"undone +create-order, reserve-stock", unreachable)
    assert re.search(r"did not happen +charge-card", unreachable)
    assert "card-provider accepted no connection within" in unreachable
    assert "retry with backoff" in unreachable
    assert "Seen before" not in "".join(whys[0])
    assert all("Seen before" in why for why in whys[1])
    assert "the demo let its card network answer again" in whys[1][2]


def _whys(output: str) -> list[str]:
    """The boxes of a run, each as one line of words."""
    boxes = re.findall(r"╭─ why ─+╮\n(.*?)╰─+╯", output, re.DOTALL)
    return [" ".join(box.replace("│", " ").split()) for box in boxes]


def _stories(output: str) -> list[list[tuple[str, str]]]:
    """The marks and what they stand before, one list for each story."""
    told = re.split(r"^[1-5]  ", output, flags=re.MULTILINE)[1:]
    return [re.findall(r"^ +-?\d+\.\d{3} s ([✓✗?↩·⚑!]) (\S+)", story, re.MULTILINE) for story in told]


thief = """
import dataclasses, sys
from participants import demo, payment

def build(engine, knobs):
    participant = payment.build(engine, knobs)

    @participant.action("pocket")
    async def pocket(data: payment.Charge, command: payment.Command, tx: payment.AsyncConnection) -> dict[str, int]:
        row = {"reference": payment.reference(command), "order_id": data.order_id, "account": data.customer}
        insert = payment.charges.insert().values(**row, amount_cents=data.amount_cents)
        charge = (await tx.execute(insert.returning(payment.charges.c.id))).scalar_one()
        await payment._move(tx, data.customer, payment.shop, data.amount_cents - 1)
        return {"charge_id": charge, "amount_cents": data.amount_cents}

    return participant

def definitions(honest=demo.definitions):
    documents = honest()
    next(step for step in documents[0]["steps"] if step["name"] == "charge-card")["action"] = "pocket"
    return documents

services = tuple(
    dataclasses.replace(service, build=build) if service.name == "payment" else service for service in demo.everything
)
sys.exit(demo.main(services, definitions()))
"""


async def test_a_sum_that_is_wrong_by_a_cent_is_noticed_and_ends_the_demo_with_1(tmp_path: Path) -> None:
    status, output, errors = await _run(tmp_path, "-c", thief)
    assert (status, errors) == (1, ""), output + errors
    assert "✗ money the shop earned" in output
    assert "every sum is right" not in output


async def test_a_port_that_is_taken_is_left_to_who_has_it(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        status, output, errors = await _run(tmp_path, "-m", "participants.demo", port=port)
    assert (status, errors) == (0, ""), output + errors
    assert f"127.0.0.1:{port}" not in output


sound = {
    "orders open": 0,
    "orders confirmed": 1,
    "orders cancelled": 0,
    "cents of confirmed orders": 100,
    "cents of the customers": 900,
    "cents of the shop": 100,
    "cents charged, not refunded": 100,
    "charges, not refunded": 1,
    "goods on hand": 9,
    "goods reserved": 1,
    "goods in reservations": 1,
    "parcels with couriers": 1,
    "parcels assigned": 1,
    "messages sent": 1,
}
before = {**dict.fromkeys(sound, 0), "cents of the customers": 1000, "goods on hand": 10}


def test_sums_that_add_up_have_no_fault() -> None:
    assert faults(before, sound, confirmed=1, cancelled=0) == []


@pytest.mark.parametrize("name", [name for name in sound if name != "orders open"])
def test_every_sum_counts(name: str) -> None:
    assert faults(before, {**sound, name: sound[name] + 1}, confirmed=1, cancelled=0) != []


def test_an_order_left_open_is_a_fault() -> None:
    assert faults(before, {**sound, "orders open": 1}, confirmed=1, cancelled=0) == [
        "orders left open: 1, and it should be 0"
    ]
