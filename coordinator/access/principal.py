"""Who asks, as far as it is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from coordinator.store.access import Role


@dataclass(frozen=True, slots=True)
class Principal:
    """A person, a service, or anybody at all. `payloads`: whether they may see what goes through sagas."""

    name: str
    role: Role
    payloads: bool
    via: str  # key, session, token, open
    key_id: str | None = None
    expires_at: datetime | None = None

    @property
    def known(self) -> bool:
        """Whether they have shown who they are."""
        return self.via != "open"


# Where nobody is asked who they are, everybody may do everything.
anybody = Principal("anonymous", Role.ADMIN, True, "open")
