"""Bring the whole stack up, place orders, look at it from all sides, restart its coordinator, bring it down.

    python3 deploy/compose/smoke.py [--keep] [--profile observe] [--profile second]      or: make compose-smoke

It needs Docker with its compose plugin, and nothing but Python's standard library. It runs under a project name of its
own, on ports that are free, with passwords made for this once, beside a stack that may be running. What it could not
look at is said at the end; only what was looked at and is wrong makes it fail.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parent))
import passwords

T = TypeVar("T")

root = Path(__file__).parents[2]
services = ("order", "inventory", "payment", "delivery", "notification")
ports = ("DASHBOARD_PORT", "RABBITMQ_PORT", "JAEGER_PORT", "PROXY_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
of_coordinators = ("DASHBOARD_PORT", "PROXY_PORT")
patience_seconds = 240.0
book = {"customer": "ada", "items": [{"sku": "book", "quantity": 1}], "address": "12 Dorset Street, London"}


class Wrong(Exception):
    """Something is not as it should be."""


class Stack:
    """The stack under test: how to run `docker compose` on it, and how to ask its services."""

    def __init__(self, file: Path, profiles: list[str]) -> None:
        passwords.complete(file)
        told = dict(line.split("=", 1) for line in file.read_text("utf-8").splitlines())
        self.passwords: Mapping[str, str] = told
        self.ports = dict(zip(ports, free_ports(len(ports)), strict=True))
        self.profiles = profiles
        name = f"amends-smoke-{os.getpid()}"
        flags = [flag for profile in profiles for flag in ("--profile", profile)]
        self._command = ["docker", "compose", "--project-name", name, "--env-file", str(file), *flags]
        self._environment = {**os.environ, **{name: str(port) for name, port in self.ports.items()}}

    def compose(self, *arguments: str, quiet: bool = True) -> str:
        done = subprocess.run(
            [*self._command, *arguments], cwd=root, env=self._environment, capture_output=quiet, text=True, check=False
        )
        if done.returncode:
            raise Wrong(f"docker compose {arguments[0]} ended with {done.returncode}\n{done.stderr or ''}")
        return done.stdout or ""

    def ask(
        self,
        port: str,
        path: str,
        body: Any = None,
        *,
        key: str = "ADMIN_KEY",
        user: str | None = None,
        password: str = "",
    ) -> Any:
        """The JSON that answers, or Wrong. Coordinators are shown a key, others a user's password."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[port]}{path}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
            request.add_header("Idempotency-Key", uuid.uuid4().hex)
        if port in of_coordinators:
            request.add_header("Authorization", f"Bearer {self.passwords[key]}")
        if user:
            credentials = base64.b64encode(f"{user}:{self.passwords[password]}".encode()).decode()
            request.add_header("Authorization", f"Basic {credentials}")
        try:
            with urllib.request.urlopen(request, timeout=30.0) as answer:
                return json.loads(answer.read())
        except (OSError, ValueError) as error:  # an HTTP error is an OSError
            raise Wrong(f"{path}: {error}") from error

    def rabbitmq(self, path: str) -> Any:
        return self.ask("RABBITMQ_PORT", f"/api/{path}", user="admin", password="RABBITMQ_PASSWORD")


class Report:
    """What was found, as it is found."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.unseen: list[str] = []
        self.seen = 0

    def good(self, said: str) -> None:
        self.seen += 1
        print(f"  ✓ {time.monotonic() - self.began:5.1f} s  {said}", flush=True)

    def unable(self, said: str) -> None:
        self.unseen.append(said)
        print(f"  – not looked at: {said}", flush=True)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return found


def eventually(look: Callable[[], T | None], what: str, *, seconds: float = patience_seconds) -> T:
    """The first answer that is neither None nor False."""
    ends, trouble = time.monotonic() + seconds, "nothing was wrong, it just did not come about"
    while time.monotonic() < ends:
        try:
            found = look()
            if found:
                return found
        except Wrong as error:
            trouble = str(error)
        time.sleep(0.5)
    raise Wrong(f"waited {seconds:g} s in vain for {what}: {trouble}")


# --- what is looked at ------------------------------------------------------------------------------------------------


def place(stack: Stack, order: Mapping[str, Any], port: str = "DASHBOARD_PORT") -> str:
    started = stack.ask(port, "/v1/sagas", {"definition": "place_order", "input": order}, key="SHOP_KEY")
    return str(started["id"])


def ended(stack: Stack, saga_id: str, status: str, port: str = "DASHBOARD_PORT") -> dict[str, Any]:
    """The saga once it has ended, as it should."""

    def look() -> dict[str, Any] | None:
        saga = stack.ask(port, f"/v1/sagas/{saga_id}")
        return saga if saga["finished_at"] or saga["status"] == "blocked" else None

    saga: dict[str, Any] = eventually(look, f"the end of {saga_id}")
    if saga["status"] != status:
        raise Wrong(f"saga {saga_id} ended {saga['status']} and should have ended {status}: {saga.get('cause')}")
    return saga


def stands(stack: Stack, report: Report) -> None:
    eventually(lambda: stack.ask("DASHBOARD_PORT", "/readyz")["broker"] == "connected", "the coordinator")
    report.good("the coordinator is ready, and connected to RabbitMQ")

    def attended() -> bool:
        workers = stack.ask("DASHBOARD_PORT", "/v1/participants")["items"]
        return {one["name"] for one in workers if one["live"]} >= set(services)

    eventually(attended, "the five services")
    report.good("all five services say that they live")
    eventually(lambda: stack.ask("DASHBOARD_PORT", "/v1/definitions/place_order"), "the demo's definition")


def asked(stack: Stack, port: str, path: str, key: str | None) -> int:
    """With which status a coordinator answers to who shows this key."""
    request = urllib.request.Request(f"http://127.0.0.1:{stack.ports[port]}{path}")
    if key:
        request.add_header("Authorization", f"Bearer {stack.passwords[key]}")
    try:
        with urllib.request.urlopen(request, timeout=30.0) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError as error:
        raise Wrong(f"{path}: {error}") from error


def door(stack: Stack, report: Report, port: str = "DASHBOARD_PORT") -> None:
    expected = {("/v1/sagas", None): 401, ("/v1/sagas", "SHOP_KEY"): 200, ("/v1/keys", "SHOP_KEY"): 403}
    expected |= {("/v1/keys", "ADMIN_KEY"): 200, ("/readyz", None): 200, ("/", None): 200}
    found = {(path, key): asked(stack, port, path, key) for path, key in expected}
    if found != expected:
        raise Wrong(f"who may ask for what: {found}, expected {expected}")
    report.good("who shows no key is asked for one, the shop's key opens what it should, the administrator's the rest")


def session(stack: Stack, report: Report, at: list[str]) -> None:
    """Log in at the last of these as the dashboard does, and look at all of them with what a browser then has."""
    request = urllib.request.Request(f"http://127.0.0.1:{stack.ports[at[-1]]}/v1/session", method="POST")
    request.add_header("Authorization", f"Bearer {stack.passwords['ADMIN_KEY']}")
    names = set()
    try:
        with urllib.request.urlopen(request, timeout=30.0) as answer:
            cookie = str(answer.headers["Set-Cookie"]).partition(";")[0]
        for port in at:
            again = urllib.request.Request(f"http://127.0.0.1:{stack.ports[port]}/v1/keys", headers={"Cookie": cookie})
            with urllib.request.urlopen(again, timeout=30.0) as answer:
                names = {one["name"] for one in json.loads(answer.read())["items"]}
    except OSError as error:
        raise Wrong(f"logging in as the dashboard does: {error}") from error
    if names != {"admin", "shop"} or stack.passwords["ADMIN_KEY"] in cookie:
        raise Wrong(f"keys are of {names}, and the browser keeps {cookie.partition('=')[0]}")
    report.good("the administrator's key logs in to the dashboard" + (", at both coordinators at once" * (len(at) > 1)))


def silence(stack: Stack, report: Report) -> None:
    logs = stack.compose("logs", "--no-color", "--no-log-prefix")
    told = [name for name, value in stack.passwords.items() if value in logs]
    if told:
        raise Wrong(f"the logs of the containers tell {', '.join(told)}")
    if "--insecure" in logs:
        raise Wrong("a coordinator runs with --insecure")
    report.good("no log tells a password or a key, no coordinator is told to ask nobody")


def orders(stack: Stack, report: Report) -> list[dict[str, Any]]:
    completed = ended(stack, place(stack, book), "completed")
    report.good("an order is completed")
    compensated = ended(stack, place(stack, {**book, "simulate": {"assign-courier": "fail"}}), "compensated")
    undone = sorted(step["name"] for step in compensated["steps"] if step["status"] == "compensated")
    if undone != ["charge-card", "create-order", "reserve-stock"]:
        raise Wrong(f"of the order without a courier were undone: {undone}")
    report.good("an order without a courier is compensated: three steps are undone")
    return [completed, compensated]


def restart(stack: Stack, report: Report) -> None:
    saga_id = place(stack, {**book, "simulate": {"charge-card": "slow"}})
    stack.compose("restart", "coordinator")
    ended(stack, saga_id, "completed")
    report.good("an order under way while the coordinator is restarted is completed")


def queues(stack: Stack, report: Report) -> None:
    def settled() -> dict[str, Any] | None:
        found = {queue["name"]: queue for queue in stack.rabbitmq("queues")}
        fine = all(queue.get("messages", 1) == 0 for queue in found.values())
        heard = all(found.get(f"amends.commands.{name}", {}).get("consumers", 0) > 0 for name in services)
        return found if fine and heard else None

    found = eventually(settled, "queues that are empty and consumed")
    if {queue["type"] for name, queue in found.items() if name.startswith("amends.commands.")} != {"quorum"}:
        raise Wrong("commands are not kept in quorum queues")
    report.good(f"{len(found)} queues, all empty, every service consumes its own")
    users = {f"amends-{name}" for name in (*services, "coordinator")}

    def named() -> bool:
        connections = stack.rabbitmq("connections")
        by_user = {one["user"]: str(one["client_properties"].get("connection_name")) for one in connections}
        return set(by_user) == users and all(user.removeprefix("amends-") in name for user, name in by_user.items())

    eventually(named, "connections of each user, named for who they are of")
    report.good("every service is connected as a user of its own, by a readable name")
    for right in stack.rabbitmq("permissions"):
        if right["user"] != "admin" and right["configure"] != "^$":
            raise Wrong(f"{right['user']} may declare {right['configure']}")
    report.good("nobody but the administrator may declare or delete anything")


def traces(stack: Stack, report: Report, sagas: list[dict[str, Any]]) -> None:
    try:
        stack.ask("JAEGER_PORT", "/api/services")
    except Wrong:
        report.unable("the spans: what answers in Jaeger's place has no query API")
        return
    for saga in sagas:

        def whole(saga: Mapping[str, Any] = saga) -> dict[str, Any] | None:
            (trace,) = stack.ask("JAEGER_PORT", f"/api/traces/{saga['trace_id']}")["data"]
            names = {span["operationName"] for span in trace["spans"]}
            return trace if f"saga {saga['definition']}" in names and len(trace["processes"]) >= 5 else None

        trace = eventually(whole, f"the trace of {saga['id']}")
        ids = {span["spanID"] for span in trace["spans"]}
        lost = [
            span["operationName"]
            for span in trace["spans"]
            for reference in span["references"]
            if reference["refType"] == "CHILD_OF" and reference["spanID"] not in ids
        ]
        if lost:
            raise Wrong(f"the trace of {saga['id']} has spans whose parent is missing: {lost}")
        report.good(f"Jaeger has the order that {saga['status']} as one trace of {len(trace['spans'])} spans")


def second(stack: Stack, report: Report) -> None:
    eventually(lambda: stack.ask("PROXY_PORT", "/readyz")["status"] == "ready", "the proxy")
    door(stack, report, "PROXY_PORT")
    session(stack, report, ["DASHBOARD_PORT", "PROXY_PORT"])
    saga_id = place(stack, {**book, "simulate": {"charge-card": "slow"}}, "PROXY_PORT")
    stack.compose("stop", "coordinator")
    ended(stack, saga_id, "completed", "PROXY_PORT")
    report.good("the second coordinator completes what the first was stopped in, through the proxy")
    stack.compose("start", "coordinator")
    eventually(lambda: stack.ask("DASHBOARD_PORT", "/readyz")["status"] == "ready", "the coordinator, again")


def health(stack: Stack) -> str:
    """What Grafana says of itself, whatever form that has."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{stack.ports['GRAFANA_PORT']}/api/health", timeout=30.0
        ) as answer:
            return str(answer.read(10_000).decode("utf-8", "replace"))
    except OSError as error:
        raise Wrong(f"Grafana: {error}") from error


def observe(stack: Stack, report: Report) -> None:
    def scraped() -> bool:
        targets = stack.ask("PROMETHEUS_PORT", "/api/v1/targets")["data"]["activeTargets"]
        return bool(targets) and all(target["health"] == "up" for target in targets)

    eventually(scraped, "Prometheus to scrape every coordinator")
    groups = stack.ask("PROMETHEUS_PORT", "/api/v1/rules")["data"]["groups"]
    report.good(f"Prometheus scrapes, and has {sum(len(group['rules']) for group in groups)} alerts")
    if "database" not in eventually(lambda: health(stack), "Grafana"):
        report.unable("the dashboard in Grafana: what answers in its place has no API")
        return
    account = {"user": "admin", "password": "GRAFANA_PASSWORD"}
    shown = eventually(lambda: stack.ask("GRAFANA_PORT", "/api/dashboards/uid/amends", **account), "the dashboard")
    report.good(f"Grafana has the dashboard {shown['dashboard']['title']!r}")


def run(stack: Stack, report: Report) -> None:
    stack.compose("up", "--build", "--detach")
    report.good("built and started")
    stands(stack, report)
    door(stack, report)
    session(stack, report, ["DASHBOARD_PORT"])
    sagas = orders(stack, report)
    queues(stack, report)
    traces(stack, report, sagas)
    restart(stack, report)
    if "second" in stack.profiles:
        second(stack, report)
    if "observe" in stack.profiles:
        observe(stack, report)
    silence(stack, report)


def main() -> int:
    parser = argparse.ArgumentParser(description="Bring the stack up, place orders, look at it, bring it down.")
    parser.add_argument("--keep", action="store_true", help="leave it running, to be looked at")
    parser.add_argument("--profile", action="append", default=[], choices=["observe", "second"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="amends-smoke-") as folder:
        stack, report = Stack(Path(folder) / "env", options.profile), Report()
        wrong: Wrong | None = None
        try:
            run(stack, report)
        except Wrong as error:
            wrong = error
            print(f"  ✗ {error}\n", flush=True)
            print(stack.compose("ps", "--all"), stack.compose("logs", "--no-color", "--tail", "40"))
        finally:
            if not options.keep:
                stack.compose("down", "--volumes", "--timeout", "20")
                left = stack.compose("ps", "--all", "--quiet")
                if not left.strip():
                    report.good("everything is gone again")
    print(f"{report.seen} checks; not looked at: {'; '.join(report.unseen) or 'nothing'}")
    if options.keep:
        print("it is left running: " + ", ".join(f"{name} {port}" for name, port in stack.ports.items()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
