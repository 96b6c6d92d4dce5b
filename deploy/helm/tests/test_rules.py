"""Rules, routes and dashboards by themselves: what promtool, amtool and the shape of the files say."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from conftest import CHART, ROOT, of_kind, release
from promql import DASHBOARDS, RULES, panels, rules, selectors

ALERTMANAGER = ROOT / "deploy/alertmanager/alertmanager.yaml"
ALERT_TESTS = sorted((ROOT / "deploy/prometheus/tests").glob("*.yaml"))
RULE_TESTS = [test for path in ALERT_TESTS for test in yaml.safe_load(path.read_text())["tests"]]


def ran(program, *arguments):
    found = shutil.which(program)
    assert found, f"{program} is missing: deploy/dev/chart.sh gets it"
    ended = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_rules_are_rules_and_those_of_the_chart_are_the_same(tmp_path):
    ran("promtool", "check", "rules", "--lint-fatal", *RULES)
    (rule,) = of_kind(release(CHART / "ci/full.yaml"), "PrometheusRule")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    ran("promtool", "check", "rules", "--lint-fatal", tmp_path / "rules.yaml")
    own = [rule["record"] for rule in rules() if "record" in rule]
    in_chart = [rule["record"] for group in rule["spec"]["groups"] for rule in group["rules"] if "record" in rule]
    assert own == in_chart and own


@pytest.mark.parametrize("path", ALERT_TESTS, ids=lambda path: path.stem)
def test_every_alert_fires_on_its_case_and_is_silent_otherwise(path):
    ran("promtool", "test", "rules", path)


def test_every_alert_has_a_case_and_is_expected_to_be_silent_in_a_healthy_system():
    fires, silent = set(), set()
    for test in RULE_TESTS:
        for each in test["alert_rule_test"]:
            (fires if each["exp_alerts"] else silent).add(each["alertname"])
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert fires == alerts
    assert silent == alerts - {"Watchdog"}


def test_findings_page_once():
    """A rule with the name of one of the auditor's alerts is held back while the auditor can tell it itself."""
    text = (ROOT / "crates/audit/src/finding.rs").read_text()
    of_auditor = set(re.findall(r'"([A-Z]\w+)"', text.split("fn alert(self)")[1].split("\n    }\n")[0]))
    shared = [rule for rule in rules() if rule.get("alert") in of_auditor]
    assert len(shared) >= 3
    for rule in shared:
        gate = "pages" if rule["labels"]["severity"] == "critical" else "warns"
        assert rule["expr"].endswith(f"unless on () (countersign:auditor_{gate} == 1)"), rule["alert"]


def test_alertmanager_routes_what_is_critical_to_people_who_are_woken():
    ran("amtool", "check-config", ALERTMANAGER)
    for labels, receiver in {
        "alertname=LedgerImbalance severity=critical": "pagerduty",
        "alertname=OldWebhooksDetected severity=warning": "slack",
        "alertname=HighWebhookRejectRate severity=warning": "slack",
        "alertname=Watchdog severity=none": "dead-man",
        "alertname=SomebodyElses": "slack",
    }.items():
        told = ran("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels.split())
        assert told.strip() == receiver, labels


def test_every_alert_that_alertmanager_names_exists_and_every_severity_has_a_route():
    text = ALERTMANAGER.read_text()
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    for names in re.findall(r'alertname =~? "([^"]+)"', text):
        assert set(names.split("|")) <= alerts, names
    routes = yaml.safe_load(text)["route"]["routes"]
    routed = {match for route in routes for match in re.findall(r'"([^"]+)"', " ".join(route["matchers"]))}
    severities = {rule["labels"]["severity"] for rule in rules() if "alert" in rule}
    assert severities - {"none"} <= routed | {"warning"}


def valued(document, key):
    """Every value that a key has anywhere in a document."""
    if isinstance(document, dict):
        yield from (value for name, value in document.items() if name == key)
        document = document.values()
    elif not isinstance(document, list):
        return
    for each in document:
        yield from valued(each, key)


def test_dashboards_can_be_imported_anywhere():
    titles, uids = set(), set()
    assert len(DASHBOARDS) == 3
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        titles.add(dashboard["title"])
        uids.add(dashboard["uid"])
        assert dashboard["id"] is None
        variables = {each["name"]: each for each in dashboard["templating"]["list"]}
        assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
        ids = [panel["id"] for panel in panels(dashboard)]
        assert len(ids) == len(set(ids))
        boxes = [panel["gridPos"] for panel in dashboard["panels"]]
        cells = [(box["x"] + dx, box["y"] + dy) for box in boxes for dx in range(box["w"]) for dy in range(box["h"])]
        assert len(cells) == len(set(cells)), f"{path.stem}: panels overlap"
        assert all(0 <= x < 24 for x, _ in cells)
        asked = {json.dumps(source) for source in valued(dashboard, "datasource")}
        assert asked == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
        for panel in panels(dashboard):
            if panel["type"] == "row":
                continue
            assert panel["title"] and panel["description"] and panel["targets"], f"{path.stem}: {panel['title']}"
            assert panel["datasource"] and all(target["datasource"] for target in panel["targets"])
        used = set(re.findall(r"\$(?:\{)?([a-z]\w*)", json.dumps(dashboard)))
        assert used - {"__rate_interval", "__range"} <= set(variables), used
    assert len(titles) == len(uids) == len(DASHBOARDS)


def test_the_chart_ships_the_same_dashboards_where_the_sidecar_of_grafana_looks():
    maps = of_kind(release(CHART / "ci/full.yaml"), "ConfigMap")
    shipped = [each for each in maps if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"]
    found = {name: json.loads(text) for each in shipped for name, text in each["data"].items()}
    assert found == {path.name: json.loads(path.read_text()) for path in DASHBOARDS}
    assert all(each["metadata"]["annotations"]["grafana_folder"] == "Payments" for each in shipped)
    assert all(len(text) < 900_000 for each in shipped for text in each["data"].values())
    assert not of_kind(release(CHART / "ci/minimal.yaml"), "PrometheusRule")


def test_selectors_are_found_in_expressions():
    found = list(selectors('max by (le) (rate(a_b{c="d{e}",f=~"g"}[5m])) > bool 2.5 unless on (x) (h:i == 1) or j offset 1d'))
    assert found == ['a_b{c="d{e}",f=~"g"}', "h:i", "j"]
