"""Every value set makes objects that Kubernetes takes, and that platform teams expect."""

import json

import helm_python
import kubernetes_validate
import pytest
import yaml

from conftest import CHART, MINIMAL, ROOT, TESTS, containers, deep, node, of_kind, pods, release, render

KUBERNETES = ["1.30", "1.33", "1.37"]
CUSTOM = ("monitoring.coreos.com", "keda.sh", "gateway.networking.k8s.io", "external-secrets.io")
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def is_custom(document):
    return document["apiVersion"].split("/")[0] in CUSTOM


def test_helm_lint_has_nothing_to_say(value_set):
    values = yaml.safe_load(value_set.read_text())
    for version in KUBERNETES:
        found = helm_python.lint(str(CHART), values, strict=True, kube_version=f"v{version}.0")
        words = [message for message in found["messages"] if message["error"] != "icon is recommended"]
        assert not words and not found["errors"], found


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_keeps_to_the_schema_of_its_kind(documents, version):
    for document in documents:
        if not is_custom(document):
            kubernetes_validate.validate(document, version, strict=True)


def test_every_custom_resource_keeps_to_the_schema_of_its_crd(documents):
    custom = [document for document in documents if is_custom(document)]
    objections = json.loads(node(TESTS / "node/validate.mjs", stdin=json.dumps(custom)))
    assert len(objections) == len(custom)
    assert not [found for found in zip(custom, objections, strict=True) if found[1]]


def test_the_schemas_of_custom_resources_are_really_asked():
    wrong = [
        {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "spec": {"triggers": []}},
        {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "spec": {"secretStoreRef": {"kind": "No"}}},
        {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "spec": {"groups": [{"name": 3}]}},
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "spec": {"rules": [{"matches": 1}]}},
        {"apiVersion": "example.com/v1", "kind": "Unknown"},
    ]
    assert all(json.loads(node(TESTS / "node/validate.mjs", stdin=json.dumps(wrong))))


def test_no_two_objects_have_one_name_and_all_are_in_one_namespace(documents):
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(names) == len(set(names)), names
    spaces = {document["metadata"].get("namespace") for document in documents if "labels" in document["metadata"]}
    assert spaces == {"payments"}


def unrestricted(spec):
    """What Pod Security "restricted" objects to (kubernetes.io/docs/concepts/security/pod-security-standards)."""
    pod = spec.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield key
    if pod.get("sysctls"):
        yield "sysctls"
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume}"
    for container in containers(spec):
        own, name = container.get("securityContext", {}), container["name"]
        if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: privileges"
        capabilities = own.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield f"{name}: capabilities"
        if not own.get("runAsNonRoot", pod.get("runAsNonRoot")):
            yield f"{name}: runAsNonRoot"
        if own.get("runAsUser", pod.get("runAsUser")) == 0:
            yield f"{name}: runAsUser"
        profile = own.get("seccompProfile", pod.get("seccompProfile", {})).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"
        if own.get("procMount", "Default") != "Default" or own.get("seLinuxOptions"):
            yield f"{name}: procMount or seLinuxOptions"
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield f"{name}: hostPort"
        handlers = [container.get(probe, {}) for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
        handlers += container.get("lifecycle", {}).values()
        if any(handler.get(kind, {}).get("host") for handler in handlers for kind in ("httpGet", "tcpSocket")):
            yield f"{name}: probes another host"


def test_every_pod_is_restricted_and_more(documents):
    for name, _, spec in pods(documents):
        assert not list(unrestricted(spec)), name
        assert spec["automountServiceAccountToken"] is False, name
        for container in containers(spec):
            assert container["securityContext"]["readOnlyRootFilesystem"], name
            assert "memory" in container["resources"]["requests"] or "cpu" in container["resources"]["requests"], name
            assert "cpu" not in container["resources"].get("limits", {}), f"{name} would be throttled"


def test_the_check_of_pods_sees_what_is_not_restricted():
    bare = {"containers": [{"name": "c"}], "volumes": [{"name": "v", "hostPath": {}}], "hostNetwork": True}
    assert len(list(unrestricted(bare))) == 6


def test_selectors_name_no_version_and_choose_the_pods_of_one_component(documents):
    labels = {name: labels for name, labels, _ in pods(documents)}
    for document in of_kind(documents, "Deployment"):
        wanted = document["spec"]["selector"]["matchLabels"]
        assert set(wanted) == {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")}
        chosen = [name for name, has in labels.items() if wanted.items() <= has.items()]
        assert chosen == [document["metadata"]["name"]]


def test_every_policy_service_and_budget_chooses_pods(documents):
    labels = [labels for _, labels, _ in pods(documents)]
    for document in of_kind(documents, "Service", "PodDisruptionBudget", "NetworkPolicy"):
        spec = document["spec"]
        wanted = spec.get("podSelector", spec.get("selector"))
        wanted = wanted.get("matchLabels", wanted)
        assert any(wanted.items() <= has.items() for has in labels), document["metadata"]["name"]


def test_every_pod_has_a_network_policy_for_both_directions(documents):
    policies = [document["spec"] for document in of_kind(documents, "NetworkPolicy")]
    for name, labels, _ in pods(documents):
        mine = [each for each in policies if each["podSelector"]["matchLabels"].items() <= labels.items()]
        assert len(mine) == 1 and mine[0]["policyTypes"] == ["Ingress", "Egress"], name
        assert all(rule.get("ports") for rule in mine[0]["egress"] + mine[0]["ingress"]), f"{name}: any port"


def test_every_pod_sees_only_its_own_secrets():
    """Which files a component is given, and no other; what is said here is compared with a list kept by hand."""
    seen = {}
    for _, labels, spec in pods(release(CHART / "ci/minimal.yaml")):
        files = [
            item["path"]
            for volume in spec["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
            for item in source["secret"]["items"]
        ]
        seen.setdefault(labels["app.kubernetes.io/component"], []).append(sorted(files))
    assert seen == {
        "ingress": [["rabbitmq-url", "redis-url", "replay-secret", "sources/stripe/0"]],
        "processor": [["processor-database-url", "rabbitmq-url", "redis-url", "replay-secret"]],
        "auditor": [["auditor-database-url"]],
        "migrations": [["migrations-database-url"]],
        "test": [["auditor-database-url"], []],
    }


def test_a_hook_needs_nothing_that_comes_after_it():
    documents = release(CHART / "ci/minimal.yaml")
    hooks = [
        each for each in documents if "pre-install" in each["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    ]
    made = {each["metadata"]["name"] for each in hooks if each["kind"] == "ConfigMap"}
    (job,) = of_kind(hooks, "Job")
    spec = job["spec"]["template"]["spec"]
    assert {volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume} <= made
    assert "serviceAccountName" not in spec
    weights = {each["kind"]: int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in hooks}
    assert weights["ConfigMap"] < weights["Job"] and weights["NetworkPolicy"] < weights["Job"]


def test_pods_are_given_longer_than_they_drain(documents):
    for document in of_kind(documents, "Deployment"):
        spec = document["spec"]["template"]["spec"]
        sleep = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] > sleep + 25, document["metadata"]["name"]


def test_another_configuration_means_other_pods():
    def sums(values):
        deployments = of_kind(render(deep(MINIMAL, values))[0], "Deployment")
        return [each["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for each in deployments]

    assert sums({}) == sums({"ingress": {"replicaCount": 9}})
    assert not set(sums({})) & set(sums({"config": {"replay": {"epoch": 1}}}))


def test_another_image_is_another_job_and_the_same_is_the_same():
    def job(values):
        return of_kind(render(deep(MINIMAL, {"migrations": {"mode": "job"}} | values))[0], "Job")[0]["metadata"]["name"]

    assert job({}) == job({"ingress": {"replicaCount": 9}})
    assert job({}) != job({"image": {"tag": "9"}})


def test_who_scales_alone_says_how_many_replicas_there_are(documents):
    scaled = {
        each["spec"]["scaleTargetRef"]["name"] for each in of_kind(documents, "HorizontalPodAutoscaler", "ScaledObject")
    }
    for document in of_kind(documents, "Deployment"):
        assert ("replicas" in document["spec"]) != (document["metadata"]["name"] in scaled)


def test_rules_and_definitions_are_the_files_of_the_repository(folder):
    """Links in the source, files in the package: there is one of each."""
    documents = release(CHART / "ci/full.yaml")
    (rule,) = of_kind(documents, "PrometheusRule")
    ours = [
        each.get("alert", each.get("record"))
        for path in sorted((ROOT / "deploy/prometheus").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for each in group["rules"]
    ]
    rendered = [each for group in rule["spec"]["groups"] for each in group["rules"]]
    named = [each.get("alert", each.get("record")) for each in rendered]
    assert named == [name for name in ours if name != "ReplayGuardBypassed"]
    alerts = [each for each in rendered if "alert" in each]
    assert all(each["annotations"]["runbook_url"].endswith(f"/{each['alert']}.md") for each in alerts)
    definitions = next(each for each in of_kind(documents, "ConfigMap") if "definitions.json" in each.get("data", {}))
    file = (ROOT / "deploy/rabbitmq/definitions.json").read_text()
    assert json.loads(definitions["data"]["definitions.json"]) == json.loads(file)

    package = helm_python.package(str(CHART), destination=str(folder))
    packaged = render(yaml.safe_load((CHART / "ci/full.yaml").read_text()), chart=package)[0]
    assert packaged == documents


def test_notes_say_where_to_post_and_what_to_run():
    notes = render(deep(MINIMAL, {"expose": {"ingress": {"enabled": True, "hosts": ["hooks.example.com"]}}}))[1]
    for words in ("https://hooks.example.com/api/v1/billing/stripe/webhook", "helm test rel", "countersign verify"):
        assert words in notes
