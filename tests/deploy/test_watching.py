"""The dashboard and the alerts that are shipped: well-formed, and about metrics and labels that a coordinator has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as families

from coordinator.web.metrics import Metrics
from tests.docs.reading import anchors
from tests.web.conftest import Site
from tests.web.conftest import small_site as small_site

root = Path(__file__).parents[2]
dashboard: dict[str, Any] = json.loads((root / "deploy" / "grafana" / "amends.json").read_text("utf-8"))
alerts: dict[str, Any] = yaml.safe_load((root / "deploy" / "prometheus" / "alerts.yaml").read_text("utf-8"))
rules: list[dict[str, Any]] = [rule for group in alerts["groups"] for rule in group["rules"]]

_metric = re.compile(r"\b(amends_[a-z_]+)(\{[^}]*\})?")
_matcher = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"")
_grouped = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
_told = re.compile(r"\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}")
_duration = re.compile(r"\d+[smhd]")
_endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in dashboard["panels"] if panel["type"] != "row")


def expressions() -> list[str]:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    asked += [variable["definition"] for variable in dashboard["templating"]["list"] if "definition" in variable]
    asked += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    return asked + [rule["expr"] for rule in rules]


def labels_of() -> dict[str, set[str]]:
    """Every name that a query may use, and the labels that come with it."""
    found: dict[str, set[str]] = {}
    for collector in set(Metrics().registry._names_to_collectors.values()):
        kind, name = str(getattr(collector, "_type", "")), str(getattr(collector, "_name", ""))
        for ending in _endings[kind]:
            found[name + ending] = {*getattr(collector, "_labelnames", ()), *(["le"] if kind == "histogram" else [])}
    return found


async def test_every_metric_that_is_asked_for_is_on_a_real_page(small_site: Site) -> None:
    text = await small_site.metrics()
    there = {family.name + ending for family in families(text) for ending in _endings[family.type]}

    asked = {name for expression in expressions() for name, _ in _metric.findall(expression)}

    assert len(asked) > 15
    assert asked - there == set()
    assert {name for name in there if not name.endswith("_created")} == set(labels_of())


@pytest.mark.parametrize("expression", expressions())
def test_every_label_that_is_asked_for_is_one_of_its_metric(expression: str) -> None:
    known = labels_of()
    used = _metric.findall(expression)
    assert used
    for name, selector in used:
        assert set(_matcher.findall(selector)) <= known[name], name
    every = set().union(*(known[name] for name, _ in used))
    for group in _grouped.findall(expression):
        assert {label.strip() for label in group.split(",")} <= every


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_is_well_formed(expression: str) -> None:
    plain = re.sub(r"\"[^\"]*\"", "", expression)
    for opening, closing in ("()", "[]", "{}"):
        assert plain.count(opening) == plain.count(closing)
    for name, _ in _metric.findall(expression):  # a counter says something only by its rate, a histogram by its buckets
        if name.endswith(("_total", "_bucket", "_count", "_sum")) and not expression.startswith("label_values"):
            assert re.search(rf"(rate|increase)\({name}(\{{[^}}]*\}})?\[", expression), name


def test_the_dashboard_has_what_grafana_asks_of_one() -> None:
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= dashboard.keys()
    everything = dashboard["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${source}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        labels = {label for target in panel["targets"] for label in _told.findall(target["legendFormat"])}
        by = {
            label.strip()
            for one in panel["targets"]
            for group in _grouped.findall(one["expr"])
            for label in group.split(",")
        }
        assert labels <= by, panel["title"]


def test_no_panels_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_alerts_have_what_prometheus_asks_of_them() -> None:
    assert set(alerts) == {"groups"}
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"Amends[A-Za-z]+", rule["alert"])
        assert _duration.fullmatch(rule["for"])
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert {"summary", "description", "runbook"} == set(rule["annotations"])


@pytest.mark.parametrize("rule", rules, ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor in anchors(root / page)
    grouped = {label.strip() for group in _grouped.findall(rule["expr"]) for label in group.split(",")}
    told = {label for text in rule["annotations"].values() for label in _told.findall(text)} - {"value"}
    assert told <= grouped


def test_every_metric_is_explained() -> None:
    page = (root / "docs" / "signals.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(amends_[a-z_]+)` \| ([a-z_, ]*) ?\|", page, re.MULTILINE))
    explained = {name: {label.strip() for label in labels.split(",") if label.strip()} for name, labels in rows.items()}
    families_there = {
        name.removesuffix("_bucket"): labels - {"le"}
        for name, labels in labels_of().items()
        if not name.endswith(("_sum", "_count"))
    }
    assert explained == families_there
