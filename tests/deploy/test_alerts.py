"""Alerts and dashboards ask for metrics that there are, and every alert has its entry in the runbook."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from api.metrics import gauges
from tests.deploy.systems import ROOT

FOLDER = ROOT / "deploy" / "grafana"
NAME = re.compile(r"\b(caseloom_[a-z_]+|temporal_[a-z_]+)\b")
MADE = re.compile(r"""["'](caseloom_[a-z_]+)["']""")


def asked_for(text: str) -> set[str]:
    return set(NAME.findall(text))


def ours() -> set[str]:
    """What the code measures, counters under the name that Prometheus sees."""
    found = set()
    for path in (p for room in ("api", "activities", "workflows") for p in (ROOT / room).rglob("*.py")):
        text = path.read_text()
        found |= {f"{name}_total" for name in re.findall(r'create_counter\(\s*"(caseloom_\w+)"', text)}
        found |= set(MADE.findall(text))
    return found


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return list(group["rules"])


def test_alerts_and_dashboards_ask_for_what_is_measured() -> None:
    board = json.loads((FOLDER / "caseloom.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    wanted = {name for text in (*expressions, *(rule["expr"] for rule in rules())) for name in asked_for(text)}
    assert len(wanted) > 15
    assert {name for name in wanted if name.startswith("caseloom_")} - ours() == set()
    assert {name for name in wanted if name.startswith("temporal_")} <= TEMPORAL


TEMPORAL = {  # held against a running worker by the life of a system
    "temporal_request_total",
    "temporal_workflow_task_schedule_to_start_latency_seconds_bucket",
}


def test_every_gauge_that_counts_what_is_not_well_has_an_alert_and_every_alert_its_entry() -> None:
    alerts = " ".join(rule["expr"] for rule in rules())
    quiet = {"caseloom_cases_open", "caseloom_escalations_open"}  # of people's work, not of the machine's
    counted = {gauge.name for gauge in gauges(datetime.now(UTC))} - quiet
    assert {name for name in counted if name not in alerts} == set()
    runbook = Path(ROOT / "docs" / "runbook.md").read_text()
    entries = set(re.findall(r"^## (\w+)$", runbook, re.M))
    assert {rule["alert"] for rule in rules()} == entries
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")
