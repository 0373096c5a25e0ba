"""What `kubectl kustomize` makes of our folders, for as much of it as they use; anything else in them is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

known = {"apiVersion", "kind", "resources", "labels", "namespace", "images", "patches"}


def documents(file: Path) -> list[Document]:
    return [one for one in yaml.safe_load_all(file.read_text("utf-8")) if one]


def rendered(folder: Path) -> list[Document]:
    """Every document of a folder with a kustomization.yaml."""
    (plan,) = documents(folder / "kustomization.yaml")
    assert set(plan) <= known, set(plan) - known
    found: list[Document] = []
    for name in plan["resources"]:
        place = folder / name
        found += rendered(place) if place.is_dir() else documents(place)
    for rule in plan.get("labels", ()):
        assert rule["includeTemplates"]
        assert not rule["includeSelectors"]
        for one in found:
            _label(one, rule["pairs"])
    for patch in plan.get("patches", ()):
        for change in documents(folder / patch["path"]):
            (one,) = [one for one in found if identity(one) == identity(change)]
            _merge(one, change)
    for image in plan.get("images", ()):
        for one in found:
            for container in containers(one):
                if container["image"] == image["name"]:
                    container["image"] = f"{image['newName']}:{image['newTag']}"
    for one in found:
        if "namespace" in plan and one["kind"] != "Namespace":
            one["metadata"]["namespace"] = plan["namespace"]
    return found


def identity(one: Document) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]


def pod(one: Document) -> Document:
    """The template of the pods that a document makes; empty if it makes none."""
    template: Document = one.get("spec", {}).get("template", {})
    return template


def containers(one: Document) -> list[Document]:
    found: list[Document] = pod(one).get("spec", {}).get("containers", [])
    return found


def _label(one: Document, pairs: dict[str, str]) -> None:
    one["metadata"].setdefault("labels", {}).update(pairs)
    if pod(one):
        pod(one)["metadata"].setdefault("labels", {}).update(pairs)


def _merge(into: Document, change: Document) -> None:
    """A strategic merge: maps by key, containers by name, other lists as a whole."""
    for key, value in change.items():
        there = into.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            _merge(there, value)
        elif key == "containers" and isinstance(there, list):
            for changed in value:
                (container,) = [one for one in there if one["name"] == changed["name"]]
                _merge(container, changed)
        else:
            into[key] = value
