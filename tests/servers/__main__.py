"""`python -m tests.servers`: make sure, before a test run, that the servers it needs can be had, or say why not.

Installs the packages where that is allowed and nothing else helps, and pulls the images where Docker is to run them, so
that no test waits for a download. Starts nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.servers import advice
from tests.servers.chromium import advice as chromium_advice
from tests.servers.chromium import installed_chromium
from tests.servers.containers import docker_answers, postgres_image, rabbitmq_image
from tests.servers.packages import can_install, install
from tests.servers.postgres import installed_postgres
from tests.servers.process import ServerUnavailable
from tests.servers.rabbitmq import installed_rabbitmq


def image_is_here(image: str) -> bool:
    """Whether Docker has the image, or can pull it now."""
    for command in (["docker", "image", "inspect", image], ["docker", "pull", "-q", image]):
        if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return True
    return False


def prepare() -> None:
    """Raises ServerUnavailable when a server can't be had in any way."""
    missing: list[tuple[str, str, str]] = []
    docker = docker_answers()
    for name, variable, image, package, installed in (
        ("PostgreSQL", "AMENDS_TEST_POSTGRES_URL", postgres_image, "postgresql", installed_postgres),
        ("RabbitMQ", "AMENDS_TEST_RABBITMQ_URL", rabbitmq_image, "rabbitmq-server", installed_rabbitmq),
    ):
        if not (os.environ.get(variable) or (docker and image_is_here(image)) or installed()):
            missing.append((name, variable, package))
    packages = [package for _, _, package in missing]
    browser = installed_chromium() is not None
    if not browser:
        packages.append("chromium")
    if packages and can_install():
        install(packages)
        return
    for name, variable, package in missing:
        docker_says = "its image can't be pulled" if docker else "no Docker engine answers"
        reasons = f"{variable} isn't set, {docker_says}, no binaries are installed"
        raise ServerUnavailable(advice.format(name=name, reasons=reasons, variable=variable, package=package))
    if not browser:
        raise ServerUnavailable(chromium_advice)


if __name__ == "__main__":
    try:
        prepare()
    except ServerUnavailable as error:
        sys.exit(str(error))
