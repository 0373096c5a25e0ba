"""Which exchanges and queues Amends has on RabbitMQ: data, declared by `amends.rabbitmq`.

    amends.commands ──<participant>──> amends.commands.<participant>     one quorum queue per participant
           └─ alternate: amends.unroutable ──*.*.#──> amends.unroutable
    amends.replies ──reply.#──> amends.replies                           one quorum queue for all coordinators
           ├─direct.*.<coordinator>──> amends.replies.<coordinator>      one for each, as long as it is there
           └──────heartbeat.#──> amends.heartbeats                       forgotten after seconds, never in a backlog
    amends.orphans ──> amends.replies                                    what a coordinator was sent and never took
    amends.events ──<definition>.<kind>──> whoever binds a queue         nobody is fine: it is told, not ordered
    amends.dead ──> amends.dead                                          what nobody could process

Two wishes contradict each other here: a sender wants to be told that a queue is missing (`mandatory`), and a message
that has nowhere to go should be kept and seen (an alternate exchange). RabbitMQ takes a message that an alternate
exchange has found a queue for as routed, and confirms it. So the alternate exchange takes only keys of two words or
more, which no command of Amends has: they are misdirected, from somebody who may not have asked for `mandatory`, and
are kept. A command for a participant without a queue (a key of one word) falls through and is returned to its sender.

What happens to a saga is cheapest where it is remembered, so a coordinator asks for the replies to its own commands. It
is a wish: whose coordinator is gone is told so (`mandatory`) and sends the reply to all, and what lies in the queue of
one that died moves to the others' within seconds. The queue itself is forgotten soon after.

A changed argument of a queue that exists is refused by RabbitMQ: limits are lowered by a policy, which it applies on
top of these arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from amends.broker import returns_max

commands = "amends.commands"
replies = "amends.replies"
heartbeats = "amends.heartbeats"
dead = "amends.dead"
events = "amends.events"
unroutable = "amends.unroutable"
orphans = "amends.orphans"

queue_messages_max = 1_000_000
queue_bytes_max = 8 * 1024**3
heartbeats_max = 10_000
heartbeat_milliseconds_max = 30_000
direct_milliseconds_max = 5_000  # how long a reply waits for its coordinator before any may take it
unused_milliseconds_max = 120_000  # how long the queue of a coordinator that is gone is kept

Argument = str | int


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: Literal["topic", "fanout"]
    arguments: dict[str, Argument] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue and what is bound to it: exchanges and keys."""

    name: str
    bindings: tuple[tuple[str, str], ...]
    arguments: dict[str, Argument]


# A full queue says no to the sender instead of dropping its oldest message.
_bounded: dict[str, Argument] = {
    "x-queue-type": "quorum",
    "x-max-length": queue_messages_max,
    "x-max-length-bytes": queue_bytes_max,
    "x-overflow": "reject-publish",
}
# `at-least-once` keeps a message in its queue until the dead letters have it; it needs `reject-publish`.
_with_dead_letters: dict[str, Argument] = _bounded | {
    "x-delivery-limit": returns_max,
    "x-dead-letter-exchange": dead,
    "x-dead-letter-strategy": "at-least-once",
}
# A dead letter has nowhere else to go, and RabbitMQ 4 drops after 20 returns what has no limit of its own.
_last_stop: dict[str, Argument] = _bounded | {"x-delivery-limit": 1_000_000_000}
_fleeting: dict[str, Argument] = {
    "x-queue-type": "classic",
    "x-max-length": heartbeats_max,
    "x-message-ttl": heartbeat_milliseconds_max,
}

exchanges = (
    Exchange(unroutable, "topic"),
    Exchange(commands, "topic", {"alternate-exchange": unroutable}),
    Exchange(replies, "topic"),
    Exchange(orphans, "fanout"),
    Exchange(dead, "fanout"),
    Exchange(events, "topic"),
)
queues = (
    Queue(dead, ((dead, ""),), _last_stop),
    Queue(unroutable, ((unroutable, "*.*.#"),), _last_stop),
    Queue(replies, ((replies, "reply.#"), (orphans, "")), _with_dead_letters),
    Queue(heartbeats, ((replies, "heartbeat.#"),), _fleeting),
)


def command_queue(participant: str) -> Queue:
    """The queue that keeps a participant's commands. The name was checked."""
    return Queue(f"{commands}.{participant}", ((commands, participant),), _with_dead_letters)


def direct_queue(coordinator: str) -> Queue:
    """The queue that keeps the replies to one coordinator's commands, for as long as it is there."""
    arguments = _with_dead_letters | {
        "x-dead-letter-exchange": orphans,
        "x-message-ttl": direct_milliseconds_max,
        "x-expires": unused_milliseconds_max,
    }
    return Queue(f"{replies}.{coordinator}", ((replies, direct_key("*", coordinator)),), arguments)


def direct_key(participant: str, coordinator: str) -> str:
    """What a participant's replies to one coordinator's commands are published under."""
    return f"direct.{participant}.{coordinator}"
