"""Write `.env` with passwords and keys of your own, for `compose.yaml`. What is there stays; what is missing is added.

    python3 deploy/compose/passwords.py [FILE]

Remove the volumes (`docker compose down --volumes`) before the file: PostgreSQL and RabbitMQ keep the passwords that
they were made with.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

names = (
    "POSTGRES_PASSWORD",  # of the superuser, whom no service uses
    "RABBITMQ_PASSWORD",  # of `admin`: RabbitMQ's pages, and `amends broker setup`
    "COORDINATOR_PASSWORD",  # of each: of its database, and of its user at RabbitMQ
    "ORDER_PASSWORD",
    "INVENTORY_PASSWORD",
    "PAYMENT_PASSWORD",
    "DELIVERY_PASSWORD",
    "NOTIFICATION_PASSWORD",
    "REPLY_SECRET",  # by which the coordinators know a reply
    "GRAFANA_PASSWORD",  # of `admin`
    "ADMIN_KEY",  # what a person shows to the dashboard, and to the API
    "SHOP_KEY",  # what starts orders
)
default = Path(__file__).parents[2] / ".env"


def made_up(name: str) -> str:
    """What nobody has had before; a key in the form that `amends keys mint` gives it."""
    if name.endswith("_KEY"):
        return f"amends_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
    return secrets.token_hex(24)


def complete(file: Path) -> list[str]:
    """Add what is missing. Returns the names that were added."""
    kept = file.read_text("utf-8") if file.exists() else ""
    there = {line.partition("=")[0].strip() for line in kept.splitlines()}
    missing = [name for name in names if name not in there]
    if missing:
        lines = "".join(f"{name}={made_up(name)}\n" for name in missing)
        text = kept + ("\n" if kept and not kept.endswith("\n") else "") + lines
        beside = file.with_name(f"{file.name}.{os.getpid()}")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as new:
            new.write(text)
        beside.replace(file)
    return missing


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    added = complete(target)
    print(f"{target}: {'added ' + ', '.join(added) if added else 'complete'}")
