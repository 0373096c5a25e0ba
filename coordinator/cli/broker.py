"""Commands about RabbitMQ: who may do what there. They ask its management API, as an administrator of it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer

from coordinator.cli.telling import fail, refused_code, unavailable_code, usage_code

Found = TypeVar("Found")

app = typer.Typer(help="RabbitMQ: what must exist there, and who may do what.", no_args_is_help=True)

Management = Annotated[
    str,
    typer.Option(
        "--management-url",
        envvar="AMENDS_BROKER_MANAGEMENT_URL",
        show_envvar=False,
        help="its management API, with an administrator: http://admin:…@host:15672 (AMENDS_BROKER_MANAGEMENT_URL)",
    ),
]
_name = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


@app.command()
def setup(
    participants: Annotated[list[str], typer.Argument(metavar="PARTICIPANT…", help="their names")],
    management_url: Management,
    vhost: Annotated[str, typer.Option(help="the virtual host")] = "/",
    coordinator_user: Annotated[str, typer.Option(help="the user of the coordinators")] = "amends-coordinator",
) -> None:
    """Make the exchanges and queues, and a user for the coordinators and for each participant, with least rights.

    Passwords are read from AMENDS_BROKER_PASSWORD_COORDINATOR and AMENDS_BROKER_PASSWORD_<PARTICIPANT>; without one, a
    new user gets one that is printed, once. May be run again: what is there stays, rights are set anew. Give the
    coordinators AMENDS_BROKER_PARTICIPANT_USER, by which users are named here, too: then a reply is believed only from
    its participant's user.
    """
    from coordinator.cli.granting import Administration, set_up

    for participant in participants:
        _check(participant)
    user_of = _user_of()

    async def work(administration: Administration) -> list[Any]:
        return await set_up(
            administration, participants, coordinator_user=coordinator_user, user_of=user_of, told=_password_of
        )

    accounts = _administer(management_url, vhost, work)
    for account in accounts:
        made = f", with the password {account.password}" if account.password else ""
        print(f"{account.user} writes {account.rights.write}, reads {account.rights.read}{made}")


@app.command()
def revoke(
    participant: Annotated[str, typer.Argument(help="its name")],
    management_url: Management,
) -> None:
    """Take a participant's user away: RabbitMQ ends its connections at once. Its queue keeps what waits for it."""
    from coordinator.cli.granting import Administration

    _check(participant)
    user = _user_of()(participant)

    async def work(administration: Administration) -> bool:
        return await administration.revoke(user)

    if not _administer(management_url, "/", work):
        fail(f"there is no user {user}", refused_code)
    print(f"{user} is no more")


def _administer(url: str, vhost: str, work: Callable[[Any], Coroutine[Any, Any, Found]]) -> Found:
    from coordinator.cli.granting import Administration, ManagementUnavailable, SetupRefused

    async def run() -> Found:
        administration = Administration(url, vhost)
        try:
            return await work(administration)
        finally:
            await administration.close()

    try:
        return asyncio.run(run())
    except SetupRefused as error:
        fail(f"RabbitMQ says no: {error}", refused_code)
    except (ManagementUnavailable, ValueError) as error:
        fail(f"RabbitMQ's management API can't be reached: {error}", unavailable_code)


def _check(participant: str) -> None:
    if not _name.fullmatch(participant):
        fail(f"no participant can be called {participant}", usage_code)


def _user_of() -> Callable[[str], str]:
    """How a participant's user is called: as the coordinators expect it."""
    from coordinator.cli.running import settings_or_end

    pattern = settings_or_end().broker_participant_user or "amends-{participant}"
    return lambda participant: str(pattern).replace("{participant}", participant)


def _password_of(participant: str) -> str | None:
    return os.environ.get(f"AMENDS_BROKER_PASSWORD_{participant.upper().replace('-', '_')}") or None
