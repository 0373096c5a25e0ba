"""Who may do what at RabbitMQ, as `amends broker setup` makes it: tried by somebody with a participant's password."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError

from amends.broker import Address, Confirm
from amends.message import Answer
from amends.rabbitmq import RabbitBroker, topology
from coordinator.building import build
from coordinator.cli.granting import Administration, ManagementUnavailable, Rights, SetupRefused, set_up
from coordinator.config import Settings
from coordinator.saga.state import SagaStatus
from tests.broker.letters import reply
from tests.docs.reading import environment
from tests.engine.conftest import final, start
from tests.engine.puppet import Puppet, answer
from tests.engine.test_trust import letters, one
from tests.servers import Servers
from tests.servers.desk import Visitor


class Door:
    """A virtual host that was set up for payment and stock, and the URLs of those who may use it."""

    def __init__(self, url: str, management_url: str) -> None:
        self._url = urlsplit(url)
        self.management_url = management_url
        self.mark = uuid.uuid4().hex[:8]
        self.pattern = f"{{participant}}-{self.mark}"
        self.vhost = self._url.path.removeprefix("/")

    def user(self, name: str) -> str:
        return self.pattern.replace("{participant}", name)

    def url(self, name: str) -> str:
        place = f"{self._url.hostname}:{self._url.port}"
        return self._url._replace(netloc=f"{self.user(name)}:secret-{name}@{place}").geturl()

    @asynccontextmanager
    async def administration(self) -> AsyncIterator[Administration]:
        opened = Administration(self.management_url, self.vhost)
        try:
            yield opened
        finally:
            await opened.close()

    async def set_up(self) -> None:
        async with self.administration() as administration:
            await set_up(
                administration,
                ["payment", "stock"],
                coordinator_user=self.user("coordinator"),
                user_of=self.user,
                told=lambda name: f"secret-{name}",
            )

    async def grant(self, name: str, rights: Rights) -> None:
        async with self.administration() as administration:
            await administration.grant(self.user(name), rights, None)

    async def revoke(self, *names: str) -> list[bool]:
        async with self.administration() as administration:
            return [await administration.revoke(self.user(name)) for name in names]


@pytest.fixture
async def door(fresh_rabbitmq_url: str, servers: Servers | Visitor) -> AsyncIterator[Door]:
    found = Door(fresh_rabbitmq_url, servers.rabbitmq_management_url)
    await found.set_up()
    await found.set_up()  # a second time it finds what it would make
    yield found
    await found.revoke("coordinator", "payment", "stock")


async def tried(url: str, exchange: str, key: str, user: str | None = None) -> bool:
    """Whether RabbitMQ takes this message from whoever has this URL."""
    connection = await aio_pika.connect(url)
    try:
        channel = await connection.channel(on_return_raises=True)
        to = channel.default_exchange if not exchange else await channel.get_exchange(exchange, ensure=False)
        await to.publish(aio_pika.Message(b"{}", user_id=user), key, mandatory=True)
    except AMQPError:
        return False
    finally:
        await connection.close()
    return True


async def test_a_participant_writes_under_its_own_name_only(door: Door) -> None:
    url, me = door.url("payment"), door.user("payment")
    assert await tried(url, topology.replies, "reply.payment", me)
    assert await tried(url, topology.replies, "heartbeat.payment", me)
    assert await tried(url, topology.commands, "payment")
    refused = {
        "as stock to one coordinator": (topology.replies, "direct.stock.0a1b", me),
        "to each coordinator": (topology.replies, "direct.payment.#", me),
        "as stock": (topology.replies, "reply.stock", me),
        "alive as stock": (topology.replies, "heartbeat.stock", me),
        "from stock": (topology.replies, "reply.payment", door.user("stock")),
        "a command to stock": (topology.commands, "stock", None),
        "past the exchanges": ("", "amends.commands.stock", None),
        "past the exchanges, a reply": ("", topology.replies, None),
        "a dead letter": (topology.dead, "", None),
        "an event": (topology.events, "order.completed", None),
    }
    assert [what for what, message in refused.items() if await tried(url, *message)] == []


async def unread(_: object) -> None:
    """What is delivered is not what is looked at."""


async def test_a_participant_reads_its_own_commands_only_and_declares_nothing(door: Door) -> None:
    connection = await aio_pika.connect(door.url("payment"))
    refused: list[str] = []
    for queue in ("amends.commands.payment", "amends.commands.stock", topology.replies, topology.dead):
        channel = await connection.channel()
        try:
            await (await channel.get_queue(queue, ensure=False)).consume(unread)
        except AMQPError:
            refused.append(queue)
    assert refused == ["amends.commands.stock", topology.replies, topology.dead]
    channel = await connection.channel()
    with pytest.raises(AMQPError):
        await channel.declare_queue("mine", durable=True)
    channel = await connection.channel()
    with pytest.raises(AMQPError):
        await channel.queue_delete("amends.commands.payment")
    channel = await connection.channel()
    with pytest.raises(AMQPError):
        await channel.declare_queue("", exclusive=True)
    await connection.close()


async def test_an_order_goes_its_way_under_least_rights_and_a_nameless_reply_is_not_believed(
    door: Door, sqlite_url: str
) -> None:
    app = await build(
        Settings(database_url=sqlite_url, broker_url=door.url("coordinator"), broker_participant_user=door.pattern)
    )
    await app.start()
    broker = await RabbitBroker.connect(door.url("payment"), name="payment")
    heard = asyncio.Event()

    def silent(_: object) -> None:
        heard.set()

    try:
        definition = await app.definitions.register(one, "test")
        async with Puppet(broker, "payment", silent) as puppet:
            saga_id = await start(app, definition)
            await heard.wait()
            nameless = RabbitBroker(door.url("payment"), "nameless")
            await nameless._publishing.first()
            nameless._user = None
            await Puppet(nameless, "payment").say(answer(puppet.heard[0], Answer.REFUSED))
            await nameless.close()
            (letter,) = await letters(app, 1)
            assert letter.reason.endswith("and it came from nobody who says so")
            await puppet.say(answer(puppet.heard[0]))
            assert (await final(app, saga_id)).status is SagaStatus.COMPLETED
    finally:
        await broker.close()
        await app.stop()


async def test_what_a_participant_can_not_read_becomes_a_dead_letter_all_the_same(door: Door) -> None:
    """It may not write to the dead letters: the broker moves it there, and only the reason is lost."""
    coordinator = await RabbitBroker.connect(door.url("coordinator"), name="coordinator")
    payment = await RabbitBroker.connect(door.url("payment"), name="payment")
    try:
        commands = await payment.subscribe("commands", "payment", prefetch=1)
        assert await coordinator.publish(Address("commands", "payment"), b"unreadable") is Confirm.CONFIRMED
        (delivery,) = await commands.take(1)
        assert delivery.sender is None
        await commands.dead_letter(delivery, "nobody can read it")
        async with asyncio.timeout(30):
            (dead,) = await (await coordinator.dead_letters()).take(1)
        assert (dead.body, dead.address.participant, dead.reason) == (b"unreadable", "payment", "rejected")
        assert await payment.publish(reply, b"{}") is Confirm.CONFIRMED  # it answers still
    finally:
        await payment.close()
        await coordinator.close()


async def test_who_is_revoked_is_disconnected_at_once(door: Door) -> None:
    connection = await aio_pika.connect(door.url("stock"))
    gone = asyncio.Event()
    connection.close_callbacks.add(lambda *_: gone.set())
    assert await door.revoke("stock", "stock") == [True, False]
    async with asyncio.timeout(30):
        await gone.wait()
    assert not await tried(door.url("payment"), topology.replies, "reply.stock", door.user("stock"))


async def test_what_can_not_be_asked_for_is_said(door: Door) -> None:
    administration = Administration(door.url("payment").replace("amqp:", "http:"), door.vhost)
    with pytest.raises(ManagementUnavailable):
        await administration.declare([])
    await administration.close()
    parts = urlsplit(door.management_url)
    administration = Administration(f"http://nobody:wrong@{parts.hostname}:{parts.port}", door.vhost)
    with pytest.raises(SetupRefused, match="401"):
        await administration.declare([])
    await administration.close()


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from coordinator.cli import main; main()", "broker", *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
    )


async def test_the_command_makes_passwords_that_it_is_not_told(door: Door) -> None:
    told = {
        "AMENDS_BROKER_MANAGEMENT_URL": door.management_url,
        "AMENDS_BROKER_PARTICIPANT_USER": door.pattern,
        "AMENDS_BROKER_PASSWORD_PAYMENT": "changed",
    }
    coordinator = door.user("coordinator")
    setup = ("setup", "payment", "night-shift", "--vhost", door.vhost, "--coordinator-user", coordinator)
    done = await asyncio.to_thread(command, *setup, **told)
    assert done.returncode == 0, done.stderr
    kept, changed, made = done.stdout.splitlines()
    assert "password" not in kept + changed
    password = made.rpartition(" ")[2]
    url = (
        door.url("payment").replace(door.user("payment"), door.user("night-shift")).replace("secret-payment", password)
    )
    assert await tried(url, topology.replies, "reply.night-shift", door.user("night-shift"))
    assert await tried(
        door.url("payment").replace("secret-payment", "changed"),
        topology.replies,
        "reply.payment",
        door.user("payment"),
    )

    done = await asyncio.to_thread(command, "revoke", "night-shift", **told)
    assert (done.returncode, done.stdout) == (0, f"{door.user('night-shift')} is no more\n")
    done = await asyncio.to_thread(command, "revoke", "night-shift", **told)
    assert (done.returncode, done.stderr) == (1, f"amends: there is no user {door.user('night-shift')}\n")
    for arguments, variables, code in (
        (("revoke", "night shift"), told, 2),
        (("revoke", "stock"), {**told, "AMENDS_BROKER_MANAGEMENT_URL": "http://127.0.0.1:1"}, 3),
    ):
        assert (await asyncio.to_thread(command, *arguments, **variables)).returncode == code


async def test_a_certificates_name_is_not_guessed() -> None:
    broker = RabbitBroker("amqps://somebody@127.0.0.1:1/?auth=external", "test")
    assert broker._user is None
    assert await broker.publish(reply, b"{}") is Confirm.UNSENT
    await broker.close()
