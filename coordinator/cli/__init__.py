"""The command `amends`.

    amends dev                        a coordinator in one process: SQLite, a broker in process, this machine only
    amends serve                      a coordinator as one of many, by its settings (AMENDS_…)
    amends demo                       the coordinator with the demo's participants
    amends db upgrade                 bring the database's schema up to date
    amends contract export            the contract as files: AsyncAPI, OpenAPI, JSON Schemas
    amends definitions …, start, show, list, cancel      ask a running coordinator
    amends explain SAGA, incidents, feedback, remedies   ask it why, and say what is to be done
    amends announce TEXT                                 tell it of a deploy

Whoever only asks loads neither the web framework nor the database: those commands import what they need themselves.
"""

from __future__ import annotations

import typer

from coordinator.cli import asking, contract, definitions, explaining, running

app = typer.Typer(
    name="amends",
    help="Sagas that make amends.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
running.add_to(app)
asking.add_to(app)
explaining.add_to(app)
app.add_typer(definitions.app, name="definitions")
app.add_typer(contract.app, name="contract")


def main() -> None:
    app()
