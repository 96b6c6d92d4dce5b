"""What the chart says to the binaries, they understand: configuration, variables, commands, flags, ports."""

import os
import subprocess
import tomllib

import pytest
import yaml

import materialise
import schema
from conftest import CHART, MINIMAL, ROOT, binary, config_of, containers, deep, of_kind, pods, release, render

SERVICES = ("ingress", "processor", "auditor")


def run(program, *arguments, env=None):
    clean = {"PATH": os.environ["PATH"]} | (env or {})
    return subprocess.run([program, *arguments], env=clean, capture_output=True, text=True, timeout=60)


def program_of(container):
    """The binary that the container's command names."""
    (command,) = container["command"]
    assert command.startswith("/usr/local/bin/countersign")
    return binary(command.rsplit("/", 1)[1])


def without_certificates(documents):
    """The certificates are made up; the services would read them."""
    for document in of_kind(documents, "ConfigMap"):
        for name, text in document.get("data", {}).items():
            lines = text.splitlines(keepends=True)
            document["data"][name] = "".join(line for line in lines if not line.startswith(("ca_file", "client_")))
    return documents


def test_the_services_accept_the_rendered_configuration(value_set, folder):
    documents = without_certificates(render(yaml.safe_load(value_set.read_text()))[0])
    checked = 0
    for name, _, spec in pods(documents):
        environments = materialise.write(folder / name, documents, spec, materialise.Anything())
        for container in spec["containers"]:
            if "-" not in container["command"][0].rsplit("/", 1)[1]:
                continue  # The operator's tool has no such flag.
            env = materialise.moved(folder / name, environments[container["name"]])
            checked_config = run(program_of(container), "--check-config", env=env)
            assert checked_config.returncode == 0, f"{name}: {checked_config.stderr}"
            checked += 1
    assert checked == 3


def test_the_tool_accepts_the_rendered_configuration_of_migrations_and_tests(folder):
    """Nobody listens at the addresses, so that all fail; 64 would say that the configuration or a flag is wrong."""
    values = deep(MINIMAL, {"ingress": {"service": {"port": 1}}, "fullnameOverride": "localhost"})
    documents = render(values)[0]
    secrets = materialise.Anything()
    secrets.TEXTS = secrets.TEXTS | {"database-url": "postgres://countersign@127.0.0.1:1/countersign"}
    asked = []
    for name, _, spec in pods(documents):
        (container,) = spec["containers"]
        if "args" not in container:
            continue
        environments = materialise.write(folder / name, documents, spec, secrets)
        env = materialise.moved(folder / name, environments[container["name"]])
        ended = run(program_of(container), *container["args"], env=env)
        assert ended.returncode == 2, f"{container['args']}: {ended.returncode} {ended.stderr}"
        asked.append(container["args"][0])
    assert sorted(asked) == ["migrate", "send", "verify"]


def example(declared):
    if "examples" in declared:
        return declared["examples"][0]
    if "enum" in declared:
        return declared["enum"][0]
    kinds = declared["type"]
    if kinds == "integer":
        return declared.get("minimum", 1) or 1
    return {"boolean": True, "array": [], "string": "a"}[kinds]


def test_every_key_of_the_configuration_that_the_schema_admits_is_known_to_the_services(folder):
    sections = {name: dict(own["properties"]) for name, own in schema.CONFIG["properties"].items()}
    source = {name: example(own) for name, own in schema.SOURCE["properties"].items() if name != "secrets"}
    config = {name: {key: example(own) for key, own in keys.items()} for name, keys in sections.items()}
    documents = render(deep(MINIMAL, {"config": config, "sources": {"stripe": source}}))[0]
    for service, (name, _, spec) in zip(SERVICES, ordered(documents), strict=True):
        environments = materialise.write(folder / name, documents, spec, materialise.Anything())
        env = materialise.moved(folder / name, environments[service])
        found = run(binary(f"countersign-{service}"), "--check-config", env=env).stderr
        assert "unknown" not in found, found
        nonsense = run(
            binary(f"countersign-{service}"), "--check-config", env=env | {f"COUNTERSIGN_CFG__{service}__NO": "1"}
        )
        assert "unknown" in nonsense.stderr, "the services no longer refuse what they do not know"


def ordered(documents):
    """The services' pods, in the order of SERVICES."""
    by_component = {
        labels["app.kubernetes.io/component"]: (name, labels, spec) for name, labels, spec in pods(documents)
    }
    return [by_component[service] for service in SERVICES]


def test_the_development_configuration_can_be_said_in_values():
    """One file everywhere: what the repository's own configuration says, the chart can say, key by key."""
    own = tomllib.loads((ROOT / "deploy/dev/countersign.toml").read_text())
    made_by_chart = {"head_file", "listen", "admin_listen", "database_url", "url", "secret", "secrets"}

    def sayable(table):
        return {key: value for key, value in table.items() if key not in made_by_chart}

    sections = [name for name in schema.CONFIG["properties"] if name in own]
    values = {
        "config": {name: sayable(own[name]) for name in sections},
        "sources": {name: sayable(table) for name, table in own["sources"].items()},
    }
    rendered = tomllib.loads(config_of(render(deep(MINIMAL | {"sources": {}}, values))[0]))
    for name in sections:
        assert sayable(own[name]).items() <= rendered[name].items()
        assert set(own[name]) <= set(rendered[name])
    assert {name: sayable(table) for name, table in rendered["sources"].items()} == values["sources"]


def test_every_variable_is_one_that_the_binary_reads(documents):
    for name, _, spec in pods(documents):
        for container in containers(spec):
            read = program_of(container).read_bytes()
            for variable in container["env"]:
                known = variable["name"].split("__")[0] + ("__" if "__" in variable["name"] else "")
                assert known.encode() in read, f"{name}: {variable['name']}"


def test_every_flag_and_command_is_known(documents):
    for name, _, spec in pods(documents):
        for container in containers(spec):
            if "args" in container:
                command, *flags = container["args"]
                said = run(program_of(container), command, "--help")
                assert said.returncode == 0, f"{name}: {command}"
                missing = [flag for flag in flags if flag.startswith("--") and flag not in said.stdout]
                assert not missing, f"{name}: {command} {missing}"


def test_every_container_port_is_one_that_the_service_listens_on(documents):
    config = tomllib.loads(config_of(documents))
    keys = {"http": "listen", "admin": "admin_listen"}
    for service, (_, _, spec) in zip(SERVICES, ordered(documents), strict=True):
        (container,) = spec["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        listens = {name: int(config[service][keys[name]].rsplit(":", 1)[1]) for name in ports}
        assert ports == listens
        probes = [container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
        for probe in probes:
            assert probe["port"] in ports and probe["path"].encode() in program_of(container).read_bytes()
    for path in paths(documents):
        prefix, source, last = path.rsplit("/", 2)
        assert prefix.encode() in binary("countersign-ingress").read_bytes() and last == "webhook"
        assert source in config["sources"]


def paths(documents):
    for document in of_kind(documents, "Ingress"):
        yield from (path["path"] for rule in document["spec"]["rules"] for path in rule["http"]["paths"])
    for document in of_kind(documents, "HTTPRoute"):
        yield from (match["path"]["value"] for rule in document["spec"]["rules"] for match in rule["matches"])


@pytest.mark.parametrize("name", ["ingress", "gateway-api"])
def test_every_source_has_its_path_and_nothing_else_has_one(name):
    path = CHART / "ci" / ("full.yaml" if name == "ingress" else f"{name}.yaml")
    sources = yaml.safe_load(path.read_text())["sources"]
    assert sorted(paths(release(path))) == sorted(f"/api/v1/billing/{source}/webhook" for source in sources)
