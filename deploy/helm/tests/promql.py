"""Expressions of PromQL: those of the rules and of the dashboards, and what series they select."""

import json
import re

import yaml

from conftest import ROOT

RULES = sorted((ROOT / "deploy/prometheus").glob("*.yaml"))
DASHBOARDS = sorted((ROOT / "deploy/grafana").glob("*.json"))

WORDS = {"and", "or", "unless", "bool", "offset", "by", "on", "without", "ignoring", "group_left", "group_right"}


def rules():
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def panels(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def of_dashboards():
    """(dashboard, panel, expression), with variables as everything and intervals as a minute."""
    for path in DASHBOARDS:
        for panel in panels(json.loads(path.read_text())):
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", "1m").replace("$__range", "5m")
                yield path.stem, panel["title"], re.sub(r"\$\w+", ".*", expression)


def selectors(expression):
    """Every metric with its matchers, without ranges and functions."""
    bare = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", " ", expression)
    bare = re.sub(r"\[\d\w*\]", "", bare)
    pattern = r'[a-zA-Z_:][\w:]*(?:\{(?:[^{}"]|"[^"]*")*\})?(?=(\s*\()?)'
    for match in re.finditer(rf'"[^"]*"|\d[\w.]*|({pattern})', bare):
        word, function = match[1], match[2]
        if word and not function and word not in WORDS:
            yield word
