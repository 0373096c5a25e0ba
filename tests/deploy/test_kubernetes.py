"""The manifests: what Kubernetes would take, hardened, whole, and about names and addresses that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from typer.core import TyperGroup as Group
from typer.main import get_command

from coordinator.cli import app
from coordinator.config import Settings
from participants.run import alive_every_seconds
from tests.deploy.kustomizing import Document, containers, identity, pod, rendered
from tests.deploy.test_watching import labels_of

root = Path(__file__).parents[2]
home = root / "deploy" / "kubernetes"
schema: dict[str, Any] = json.loads(Path(__file__).with_name("kubernetes-1.34.json").read_text("utf-8"))
base = rendered(home / "base")
example = rendered(home / "overlays" / "example")
everywhere = [*base, *example]
services = ("order", "inventory", "payment", "delivery", "notification")


def name_of(one: Document) -> str:
    return "/".join((one["metadata"].get("namespace", "base"), *identity(one)))


def of_kind(kind: str) -> dict[str, Document]:
    return {one["metadata"]["name"]: one for one in example if one["kind"] == kind}


def pods() -> dict[str, Document]:
    return {one["metadata"]["name"]: one for one in example if pod(one)}


@pytest.mark.parametrize("one", everywhere, ids=name_of)
def test_it_is_what_kubernetes_takes(one: Document) -> None:
    validator = jsonschema_rs.validator_for({**schema["kinds"][one["kind"]], "definitions": schema["definitions"]})
    faults = [f"{'/'.join(map(str, fault.instance_path))}: {fault.message}" for fault in validator.iter_errors(one)]
    assert faults == []


def test_the_schemas_notice_what_is_wrong() -> None:
    (deployment,) = [one for one in rendered(home / "base") if identity(one) == ("Deployment", "amends-order")]
    validator = jsonschema_rs.validator_for({**schema["kinds"]["Deployment"], "definitions": schema["definitions"]})
    assert validator.is_valid(deployment)
    containers(deployment)[0]["readOnlyRootFileSystem"] = True  # misspelt, and in the wrong place
    assert not validator.is_valid(deployment)


def test_names_are_unique_and_of_one_namespace() -> None:
    assert len({identity(one) for one in example}) == len(example)
    assert {one["metadata"].get("namespace") for one in example if one["kind"] != "Namespace"} == {"amends"}


@pytest.mark.parametrize("name", pods())
def test_a_pod_may_do_nothing_that_it_need_not(name: str) -> None:
    spec = pod(pods()[name])["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["serviceAccountName"] in of_kind("ServiceAccount")
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]


@pytest.mark.parametrize("name", [name for name, one in pods().items() if one["kind"] == "Deployment"])
def test_a_deployment_finds_its_own_pods_and_is_asked_whether_it_is_well(name: str) -> None:
    deployment = pods()[name]
    labels = pod(deployment)["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels["app.kubernetes.io/part-of"] == "amends"
    (container,) = containers(deployment)
    assert {"startupProbe", "livenessProbe"} <= set(container)
    for probe in ("startupProbe", "livenessProbe"):
        alive = container[probe].get("exec", {}).get("command", [])
        if alive:
            younger_than = re.search(r"> (\d+)\)$", alive[-1])
            assert younger_than
            assert int(younger_than[1]) > 2 * alive_every_seconds
            assert "'/tmp/alive'" in alive[-1]
    if "readinessProbe" in container:
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/livez"


def test_secrets_are_referred_to_and_never_here() -> None:
    assert "Secret" not in {one["kind"] for one in everywhere}
    referred: dict[str, set[str]] = {}
    for one in example:
        for container in containers(one):
            for variable in container.get("env", ()):
                reference = variable["valueFrom"]["secretKeyRef"]  # nothing is stated beside its name
                referred.setdefault(reference["name"], set()).add(reference["key"])
    expected = {f"amends-{service}": {"broker-url", "database-url"} for service in services}
    expected |= {"amends-coordinator": {"broker-url", "database-url", "reply-secret"}, "amends-first-key": {"key"}}
    assert referred == expected
    page = (home / "README.md").read_text("utf-8")
    assert [name for name in ("amends-coordinator", "amends-first-key") if f"`{name}`" not in page] == []


def test_a_coordinator_asks_who_one_is_and_the_first_key_is_let_in_by_a_job_of_its_own() -> None:
    (coordinator,) = containers(of_kind("Deployment")["amends-coordinator"])
    assert coordinator["command"] == ["amends", "serve"]
    assert "insecure" not in str(everywhere)
    settings = of_kind("ConfigMap")["amends-coordinator"]["data"]
    assert not settings.keys() & {"AMENDS_PLAINTEXT_TO", "AMENDS_LOG_LEVEL"}  # what leaves a node is encrypted
    (let_in,) = containers(of_kind("Job")["amends-first-key"])
    command = get_command(app)
    for word in let_in["command"][1:3]:
        assert isinstance(command, Group)
        command = command.commands[word]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in let_in["command"] if word.startswith("--")} <= known
    knowing = {name for name, one in pods().items() if "amends-first-key" in str(pod(one)["spec"].get("containers"))}
    assert knowing == {"amends-first-key"}


def test_what_is_set_is_a_setting() -> None:
    settings = {
        str(field.validation_alias or f"AMENDS_{name.upper()}") for name, field in Settings.model_fields.items()
    }
    (coordinator,) = containers(of_kind("Deployment")["amends-coordinator"])
    stated = {*of_kind("ConfigMap")["amends-coordinator"]["data"], *(one["name"] for one in coordinator["env"])}
    assert stated <= settings
    for one in example:
        for container in containers(one):
            for source in container.get("envFrom", ()):
                assert source["configMapRef"]["name"] in of_kind("ConfigMap")


def test_every_service_of_the_demo_is_there_and_is_a_module() -> None:
    commands = {name: containers(one)[0]["command"] for name, one in of_kind("Deployment").items()}
    assert set(commands) == {"amends-coordinator", *(f"amends-{service}" for service in services)}
    for service in services:
        assert commands[f"amends-{service}"] == ["python", "-m", f"participants.{service}"]
        assert (root / "participants" / f"{service}.py").exists()
        variables = {one["name"] for one in containers(of_kind("Deployment")[f"amends-{service}"])[0]["env"]}
        assert variables == {"AMENDS_BROKER_URL", f"AMENDS_{service.upper()}_DATABASE_URL"}


def test_images_are_those_of_the_dockerfile_and_have_a_version() -> None:
    targets = re.findall(r"^FROM amends AS ([a-z]+)$", (root / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert {container["image"] for one in base for container in containers(one)} == {f"amends-{one}" for one in targets}
    for one in example:
        for container in containers(one):
            assert re.fullmatch(r"registry\.example\.com/amends-[a-z]+:\d+\.\d+\.\d+", container["image"])


def test_the_service_and_the_budget_find_the_coordinators() -> None:
    labels = pod(of_kind("Deployment")["amends-coordinator"])["metadata"]["labels"]
    (service,) = of_kind("Service").values()
    (budget,) = of_kind("PodDisruptionBudget").values()
    assert service["spec"]["selector"].items() <= labels.items()
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (container,) = containers(of_kind("Deployment")["amends-coordinator"])
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]


def test_the_autoscaler_goes_by_a_metric_that_exists() -> None:
    (scaler,) = of_kind("HorizontalPodAutoscaler").values()
    target = scaler["spec"]["scaleTargetRef"]
    assert target["name"] in of_kind(target["kind"])
    assert "replicas" not in of_kind("Deployment")[target["name"]]["spec"]  # or each apply would set them anew
    assert 2 <= scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]
    external = [metric["external"]["metric"]["name"] for metric in scaler["spec"]["metrics"] if "external" in metric]
    assert external == ["amends_outbox_oldest_age_seconds"]
    assert set(external) <= set(labels_of())
    assert external[0] in (home / "README.md").read_text("utf-8")


def test_nobody_speaks_to_anybody_but_for_what_is_listed() -> None:
    policies = of_kind("NetworkPolicy")
    nothing = policies["amends-nothing"]["spec"]
    assert nothing["policyTypes"] == ["Ingress", "Egress"]
    assert not nothing.keys() & {"ingress", "egress"}

    def ports(name: str) -> set[int]:
        labels = pod(pods()[name])["metadata"]["labels"]
        mine = [
            one["spec"]
            for one in policies.values()
            if one["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        ]
        assert nothing in mine
        return {port["port"] for spec in mine for rule in spec.get("egress", ()) for port in rule["ports"]}

    assert ports("amends-migration") == ports("amends-first-key") == {53, 5432, 4318}
    for name in of_kind("Deployment"):
        assert ports(name) == {53, 5432, 5671, 5672, 4318}
    heard = [spec for one in policies.values() for spec in one["spec"].get("ingress", ())]
    assert len(heard) == 1
    assert all("podSelector" in peer or "namespaceSelector" in peer for peer in heard[0]["from"])


def test_a_process_has_the_time_that_it_takes_to_end() -> None:
    from coordinator.cli.server import graceful_seconds

    spec = pod(of_kind("Deployment")["amends-coordinator"])["spec"]
    before = float(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert spec["terminationGracePeriodSeconds"] > before + graceful_seconds + 10
