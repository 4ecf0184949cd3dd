"""Dashboard, alert rules and docs against the metrics that there are: a name that nothing exports is a blind spot."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy/grafana/dashboards/lookalike.json"
RULES = ROOT / "deploy/prometheus/lookalike.rules.yml"
OVERRIDE = ROOT / "deploy/docker-compose.observability.yml"

GIVEN_BY_PROMETHEUS = {"up": {"job", "instance"}}
PROCESS = {
    f"{prefix}process_{name}"
    for prefix in ("", "lookalike_index_")
    for name in ("resident_memory_bytes", "cpu_seconds_total", "open_fds", "max_fds")
}
"""Of these the library says the names only where there is a /proc."""

SUFFIXES = {"counter": ["_total"], "gauge": [""], "info": ["_info"], "histogram": ["_bucket", "_sum", "_count"]}


def exported() -> dict[str, set[str]]:
    """Every metric there may be, with its labels."""
    found: dict[str, set[str]] = {name: set() for name in PROCESS}
    metrics = Metrics(version="1")
    for collector in metrics.registry._collector_to_names:
        describe = getattr(collector, "describe", None)
        labels = set(getattr(collector, "_labelnames", ()))
        for family in describe() if describe is not None else ():
            for suffix in SUFFIXES[family.type]:
                found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    found["lookalike_model_info"] = {"role", "model", "weights_digest", "runtime", "device", "precision", "input"}
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for panel in panels():
        for target in panel.get("targets", []):
            yield f"panel {panel['title']!r}", target["expr"]
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']!r}", rule["expr"]


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics that an expression names, with the labels by which it chooses."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    for name, _, chosen in re.findall(r"\b((?:lookalike|process)_\w+|up)\b({([^}]*)})?", bare):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen))


@pytest.mark.parametrize(("place", "expression"), list(expressions()), ids=lambda value: str(value)[:40])
def test_every_metric_and_label_exists(place: str, expression: str) -> None:
    there = exported() | GIVEN_BY_PROMETHEUS
    named = list(selectors(expression))
    assert named, place
    for name, labels in named:
        assert name in there, f"{place} names {name}"
        assert labels <= there[name] | {"job", "instance"}, f"{place}: {name} has no {labels}"
    everything = {"job", "instance"}.union(*(there[name] for name, _ in named))
    for labels in re.findall(r"\bby \(([^)]*)\)", expression):
        assert set(re.split(r",\s*", labels)) <= everything, place


def test_a_slip_would_be_found() -> None:
    assert list(selectors('rate(lookalike_wait_seconds_bucket{stage=~"a{b}", le="1"}[5m]) / up')) == [
        ("lookalike_wait_seconds_bucket", {"stage", "le"}),
        ("up", set()),
    ]
    assert "lookalike_wait_seconds" not in exported()


def test_every_metric_of_ours_is_explained() -> None:
    page = (ROOT / "docs/observability.md").read_text()
    told = set(re.findall(r"`((?:lookalike|process)_\w+)`", page))
    ours = {re.sub("_(bucket|sum|count)$", "", name) for name in exported()} - PROCESS
    assert ours - told == set()
    assert {name for name in told if name.startswith("lookalike")} <= ours | PROCESS


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["schemaVersion"] >= 39
    assert dashboard["uid"]
    assert dashboard["title"]
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", DASHBOARD.read_text()))
    assert used == variables
    places = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & places, f"{panel['title']} lies on another panel"
        places |= cells
        assert panel["type"] == "row" or panel["targets"]


def test_what_compose_mounts_is_there() -> None:
    services = yaml.safe_load(OVERRIDE.read_text())["services"]
    mounted = [volume.split(":")[0] for service in services.values() for volume in service["volumes"]]
    here = [source for source in mounted if source.startswith(".")]
    assert len(here) == 3
    assert all((ROOT / source).is_dir() for source in here)


def test_the_scraped_service_is_the_one_of_compose() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    [job] = config["scrape_configs"]
    assert job["job_name"] == "lookalike"
    [target] = job["static_configs"][0]["targets"]
    assert target.split(":")[0] in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert all((ROOT / "deploy/prometheus" / name).is_file() for name in config["rule_files"])
