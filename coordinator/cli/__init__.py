"""The command `amends`.

    amends dev                        a coordinator in one process: SQLite, a broker in process, this machine only
    amends serve                      a coordinator as one of many, by its settings (AMENDS_…)
    amends demo                       the coordinator with the demo's participants
    amends db upgrade                 bring the database's schema up to date
    amends broker setup, revoke       who may do what at RabbitMQ
    amends doctor, verify             look at a coordinator's surroundings, and at what it keeps
    amends start, show, list, definitions …              ask a running coordinator
    amends retry, skip, settle, waive, cancel, close     ask it for something, of one saga or of many
    amends pause, resume, pauses                         hold back and let go
    amends participants, outbox, dead-letters            what carries sagas
    amends contract export                               the contract as files: AsyncAPI, OpenAPI, JSON Schemas
    amends explain SAGA, incidents, feedback, remedies   ask it why, and say what is to be done
    amends announce TEXT                                 tell it of a deploy
    amends keys …                                        who may ask, and for what
    amends profile …                                     coordinators under names of one's own

Whoever only asks loads neither the web framework nor the database nor what a participant needs: what a command needs
beyond a client it imports itself.
"""

from __future__ import annotations

import typer

from coordinator.cli import (
    asking,
    broker,
    bulk,
    checking,
    contract,
    definitions,
    explaining,
    fleet,
    holding,
    keys,
    profiles,
    running,
    verbs,
)

app = typer.Typer(
    name="amends",
    help="Sagas that make amends.",
    epilog="Exit codes: 0 done, 1 refused or a check failed, 2 the command line, 3 nobody answered, 4 no such thing, "
    "5 the saga did not complete, 6 the wait was over.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
running.add_to(app)
checking.add_to(app)
asking.add_to(app)
verbs.add_to(app)
holding.add_to(app)
explaining.add_to(app)
fleet.add_to(app)
app.add_typer(definitions.app, name="definitions")
app.add_typer(bulk.app, name="bulk")
app.add_typer(broker.app, name="broker")
app.add_typer(keys.app, name="keys")
app.add_typer(profiles.app, name="profile")
app.add_typer(contract.app, name="contract")


def main() -> None:
    app()
