"""Bad values are refused with a sentence, and values, schema and README say the same."""

import shutil

import pytest
import yaml

import schema
from conftest import CHART, MINIMAL, TESTS, TOOLS, deep, node, render

# Of these parts values.yaml says what is usual, and the schema admits more.
OPTIONAL = ("ingress", "processor", "auditor", "config", "alerts")

REFUSED = {
    "an unknown key": ({"ingres": {}}, "additional properties 'ingres' not allowed"),
    "an unknown key of the configuration": ({"config": {"ingress": {"colour": 1}}}, "'colour' not allowed"),
    "a component's unknown key": ({"processor": {"replicas": 2}}, "'replicas' not allowed"),
    "a number in quotes": ({"config": {"ingress": {"drain_s": "25"}}}, "got string, want integer"),
    "no sources": ({"sources": None}, "sources: nobody sends webhooks yet; name a source"),
    "a source without an account": (
        {"sources": {"stripe": {"own_account": None}}},
        "own_account': got null, want string",
    ),
    "a source whose name is no part of a URL": (
        {"sources": {"Stripe!": {"own_account": "a"}}},
        "'Stripe!' not allowed",
    ),
    "no secret": (
        {"secrets": {"existingSecret": ""}},
        "secrets.redisUrl: no Secret is named for the ingress; make one",
    ),
    "no secret of a source": (
        {"secrets": {"existingSecret": ""}},
        "sources.stripe.secrets: no Secret is named for the ingress; make one with the key source-stripe",
    ),
    "a password in a value": (
        {"config": {"redis": {"url": "redis://user:hunter2@redis"}}},
        "config.redis.url: holds a password; put the URL into a Secret",
    ),
    "two autoscalers": (
        {"processor": {"autoscaling": {"enabled": True}, "keda": {"enabled": True}}},
        "two autoscalers would fight over one Deployment; enable one of them",
    ),
    "no replica of the auditor": (
        {"auditor": {"replicaCount": 0}},
        "without a replica nobody proves that the books balance",
    ),
    "more replicas at least than at most": (
        {"ingress": {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 2}}},
        "minReplicas is above maxReplicas",
    ),
    "nothing to scale by": (
        {"ingress": {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": None}}},
        "ingress.autoscaling: nothing to scale by",
    ),
    "killed before it has drained": (
        {"ingress": {"terminationGracePeriodSeconds": 30}},
        "before it has drained; take more",
    ),
    "a hook that waits for an external secret": (
        {
            "externalSecrets": {
                "enabled": True,
                "secretStoreRef": {"name": "vault"},
                "secrets": {"countersign": {"dataFrom": []}},
            }
        },
        "migrations.mode: a hook runs before the ExternalSecret that it needs is there; set it to job",
    ),
    "one account made three times": (
        {"defaults": {"serviceAccount": {"name": "payments"}}},
        "defaults.serviceAccount.name: three components would make one account",
    ),
    "alerts without pages": (
        {"alerts": {"routes": {"a": {"kind": "slack", "url": {}}}}},
        "alerts.runbook_base_url: is missing",
    ),
    "an unknown kind of alerts": (
        {"alerts": {"routes": {"a": {"kind": "pager"}}}},
        "must be one of 'pagerduty', 'slack'",
    ),
    "an alert's missing secret": (
        {
            "secrets": {"existingSecret": ""},
            "alerts": {"routes": {"a": {"kind": "slack", "url": {}}}, "runbook_base_url": "https://r"},
        },
        "alerts.routes.a.url: no Secret is named for the auditor; make one with the key alerts-a-url",
    ),
    "a volume for two that only one can have": (
        {"auditor": {"replicaCount": 2, "head": {"persistence": {"enabled": True}}}},
        "auditor.head.persistence: replicas cannot share a volume that one node writes; use ReadWriteMany",
    ),
    "an exposed nothing": (
        {"ingress": {"enabled": False}, "expose": {"ingress": {"enabled": True, "hosts": ["h"]}}},
        "expose: leads to no ingress",
    ),
    "no host": ({"expose": {"ingress": {"enabled": True}}}, "expose.ingress.hosts: name the host"),
    "no gateway": ({"expose": {"httpRoute": {"enabled": True}}}, "expose.httpRoute.parentRefs: name the Gateway"),
}


@pytest.mark.parametrize("values, sentence", REFUSED.values(), ids=REFUSED)
def test_bad_values_are_refused_with_a_sentence(values, sentence):
    with pytest.raises(Exception) as refused:
        render(deep(MINIMAL, values))
    assert sentence in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_every_problem_is_named_at_once():
    with pytest.raises(Exception, match=r"the values have \d+ problem\(s\)") as refused:
        render({"auditor": {"replicaCount": 0}})
    for part in ("sources:", "auditor.replicaCount:", "secrets.redisUrl:", "secrets.migrationsDatabaseUrl:"):
        assert part in str(refused.value)


def test_an_auditor_alone_needs_no_sources():
    values = {"ingress": {"enabled": False}, "processor": {"enabled": False}, "secrets": {"existingSecret": "s"}}
    assert render(values)[0]


def test_the_schema_is_the_written_one():
    written = (CHART / "values.schema.json").read_text()
    assert written == schema.text(), "deploy/dev/chart.sh write"


def test_the_schema_is_closed_and_knows_every_value():
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(own, declared, path):
        if "properties" not in declared:
            return
        assert declared["additionalProperties"] is False, path
        if (
            path.startswith("config")
            or path.split(".")[0] in OPTIONAL
            or path.endswith(("Probe", "podDisruptionBudget"))
        ):
            assert set(own) <= set(declared["properties"]), path
        else:
            assert set(own) == set(declared["properties"]), path
        for key, value in own.items():
            if isinstance(value, dict):
                compare(value, declared["properties"][key], f"{path}.{key}".strip("."))

    compare(values, schema.SCHEMA, "")


def test_the_readme_is_the_generated_one(folder):
    """The generator also fails over a value that no comment describes, and over a comment without its value."""
    shutil.copy(CHART / "README.md", folder / "README.md")
    generator = TOOLS / "node/node_modules/@bitnami/readme-generator-for-helm/bin/index.js"
    arguments = ["-v", CHART / "values.yaml", "-r", folder / "README.md", "-c", TESTS / "readme.json"]
    node(generator, *arguments)
    assert (folder / "README.md").read_text() == (CHART / "README.md").read_text(), "deploy/dev/chart.sh write"
