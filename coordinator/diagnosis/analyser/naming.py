"""Names of entities, in the one form their kind has. What participants call themselves is text from outside: it keeps
only characters of names, so that it can't become a sentence, markup or an instruction."""

from __future__ import annotations

import re
from datetime import datetime

from coordinator.diagnosis.case import SagaSeen
from coordinator.diagnosis.cause import Entity, EntityKind

name_chars_max = 120
_tag = re.compile(r"<(?![a-z_]{1,20}(?::[0-9]{1,6})?>)")
_strange = re.compile(r"[^\w.:@/+\-]+", re.ASCII)


def plain(name: str) -> str:
    """A name that is safe in a line of prose; the same for every ordinary name."""
    return _strange.sub("_", name[: name_chars_max * 2])[:name_chars_max] or "_"


def quotable(template: str) -> str:
    """A masked text as it may stand between quotation marks: one line of visible characters, and no tag but the masks
    themselves."""
    visible = "".join(character if character.isprintable() else " " for character in template)
    return _tag.sub("‹", " ".join(visible.split()))


def saga_entity(saga_id: str) -> Entity:
    return Entity(kind=EntityKind.SAGA, name=plain(saga_id))


def step_entity(definition: str, step: str) -> Entity:
    return Entity(kind=EntityKind.STEP, name=f"{plain(definition)}.{plain(step)}")


def participant_entity(participant: str) -> Entity:
    return Entity(kind=EntityKind.PARTICIPANT, name=plain(participant))


def worker_entity(participant: str, worker: str) -> Entity:
    return Entity(kind=EntityKind.WORKER, name=f"{plain(participant)}/{plain(worker)}")


def version_entity(participant: str, version: str) -> Entity:
    return Entity(kind=EntityKind.WORKER_VERSION, name=f"{plain(participant)}@{plain(version)}")


def host_entity(host: str) -> Entity:
    return Entity(kind=EntityKind.HOST, name=plain(host))


def dependency_entity(dependency: str) -> Entity:
    return Entity(kind=EntityKind.DEPENDENCY, name=plain(dependency))


def definition_entity(definition: str, version: int | None = None) -> Entity:
    if version is None:
        return Entity(kind=EntityKind.DEFINITION, name=plain(definition))
    return Entity(kind=EntityKind.DEFINITION_VERSION, name=f"{plain(definition)}@{version}")


def setting_entity(owner: str, setting: str) -> Entity:
    """Of a participant, or (`owner` = "definition.step") of a definition."""
    return Entity(kind=EntityKind.SETTING, name=f"{plain(owner)}.{plain(setting)}")


def database_entity(owner: str) -> Entity:
    return Entity(kind=EntityKind.DATABASE, name=plain(owner))


broker_entity = Entity(kind=EntityKind.BROKER, name="broker")


def entity_of(subject: str) -> Entity | None:
    """The entity an occurrence is about, written "<kind> <name>". None: it isn't written so."""
    kind, _, name = subject.partition(" ")
    if kind not in set(EntityKind) or not name:
        return None
    return Entity(kind=EntityKind(kind), name=plain(name))


def short(entity: Entity) -> str:
    """How a sentence speaks of an entity."""
    match entity.kind:
        case EntityKind.SAGA | EntityKind.HOST | EntityKind.WORKER | EntityKind.SETTING | EntityKind.DEFINITION:
            return f"{entity.kind} {entity.name}"
        case EntityKind.BROKER:
            return "the broker"
        case EntityKind.DATABASE:
            return f"the database of {entity.name}"
        case _:
            return entity.name


def step_of(seen: SagaSeen, step: str) -> Entity:
    return step_entity(seen.saga.definition, step)


def clock(at: datetime) -> str:
    """The time of day, as sentences say it."""
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"


def seconds(value: float) -> str:
    """A duration as a person says it."""
    if value < 1.0:
        return f"{value * 1000:.0f} ms"
    if value < 120.0:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min"


def percent(share: float) -> str:
    return f"{share * 100:.3g} %"
