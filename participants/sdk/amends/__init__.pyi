from amends.broker import Address, Broker, Confirm
from amends.calls import calling
from amends.errors import (
    AmendsError,
    BrokerClosed,
    BrokerError,
    DefinitionError,
    EffectUnknown,
    InboxError,
    InboxUnavailable,
    MessageError,
    PayloadError,
    Refused,
)
from amends.local import LocalBroker
from amends.message import Answer, Command, Effect, Kind, Reply, Undone
from amends.participant import Participant, check_actions
from amends.serving import ServingLimits

__all__ = [
    "Address",
    "AmendsError",
    "Answer",
    "Broker",
    "BrokerClosed",
    "BrokerError",
    "Command",
    "Confirm",
    "DefinitionError",
    "Effect",
    "EffectUnknown",
    "InboxError",
    "InboxUnavailable",
    "Kind",
    "LocalBroker",
    "MessageError",
    "Participant",
    "PayloadError",
    "Refused",
    "Reply",
    "ServingLimits",
    "Undone",
    "calling",
    "check_actions",
]
