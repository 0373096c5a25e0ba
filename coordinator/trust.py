"""Whose reply is believed: one from the participant's own user at the broker, and one that proves its command was got.

Neither is asked for unless it is set up. A reply that is not believed is kept as a dead letter and changes nothing.

The proof is a keyed hash over what a command is and for whom, sent with the command and given back with the reply. It
is the same for every attempt, since an attempt is the same command sent again, and of no use for any other command.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.saga.event import CommandId

token_digits = 40
not_believed = "not believed: "  # how the reason of such a dead letter begins


@dataclass(frozen=True, slots=True)
class Trust:
    """`participant_user` is how the users of participants are called, such as "amends-{participant}"; None: not asked.

    The first of the secrets signs, all are good for what was signed earlier; none: nothing is signed or asked for.
    """

    participant_user: str | None = None
    secrets: Sequence[str] = ()

    @classmethod
    def of(cls, participant_user: str | None, secrets: str) -> Trust:
        """As the settings say it: secrets one after the other, with commas between them."""
        return cls(participant_user, tuple(secret for secret in secrets.split(",") if secret))

    def token(self, saga_id: str, command: CommandId, participant: str) -> str | None:
        """What a command carries, and its reply has to."""
        return _signed(self.secrets[0], saga_id, command, participant) if self.secrets else None

    def doubt_sender(self, participant: str, sender: str | None) -> str | None:
        """Why what says it is from this participant is not believed to be; None if it is."""
        if self.participant_user is None:
            return None
        user = self.participant_user.replace("{participant}", participant)
        if sender == user:
            return None
        return f"{not_believed}{participant} is the user {user}, and it came from {sender or 'nobody who says so'}"

    def doubt_token(self, saga_id: str, command: CommandId, participant: str, token: str | None) -> str | None:
        """Why a reply to this command is not believed; None if it is."""
        if not self.secrets:
            return None
        if token is None:
            return f"{not_believed}it has no token"
        good = [hmac.compare_digest(_signed(secret, saga_id, command, participant), token) for secret in self.secrets]
        return None if any(good) else f"{not_believed}its token is not that of {participant}'s command"


def _signed(secret: str, saga_id: str, command: CommandId, participant: str) -> str:
    text = f"amends reply 1\n{saga_id}\n{command}\n{participant}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()[:token_digits]
