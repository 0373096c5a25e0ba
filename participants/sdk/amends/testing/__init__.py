"""Tests without servers and without waiting.

    PlayParticipant   one participant: its real handlers and its real inbox, commands by hand
    play_saga         a whole definition: the coordinator's real rules, the participants' real handlers, a clock that
                      jumps, and trouble where the test wants it (`refuse`, `fail`, `lose_reply`, …)

    saga = await play_saga(place_order, [inventory, payment], {"sku": "lamp"}, trouble=[refuse("charge")])
    saga.assert_compensated(["reserve"])

`play_saga` needs the coordinator: `pip install 'amends[testing]'`. `PlayParticipant` needs nothing but the SDK.
"""

from amends.testing.participant import PlayParticipant
from amends.testing.played import PlayedSaga
from amends.testing.saga import play_saga
from amends.testing.trouble import (
    Cancel,
    InjectedFailure,
    Trouble,
    cancel,
    delay_reply,
    duplicate_command,
    duplicate_reply,
    fail,
    lose_command,
    lose_reply,
    never_answers,
    refuse,
)

__all__ = [
    "Cancel",
    "InjectedFailure",
    "PlayParticipant",
    "PlayedSaga",
    "Trouble",
    "cancel",
    "delay_reply",
    "duplicate_command",
    "duplicate_reply",
    "fail",
    "lose_command",
    "lose_reply",
    "never_answers",
    "play_saga",
    "refuse",
]
