"""The image and the laptop's system run what the chart runs, in the same way."""

import os
import pathlib
import re
import subprocess

import pytest
import yaml

from conftest import CHART, ROOT, binary, pods, release

COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
OURS = sorted(name for name, service in COMPOSE.items() if service["image"] == "countersign:dev")


def test_the_image_holds_every_binary_that_the_chart_runs():
    commands = {
        container["command"][0]
        for _, _, spec in pods(release(CHART / "ci/minimal.yaml"))
        for container in spec["containers"]
    }
    copied = set(re.findall(r"target/release/(\S+)", DOCKERFILE))
    assert {command.removeprefix("/usr/local/bin/") for command in commands} == copied


def test_the_image_runs_as_whom_the_chart_says_and_listens_where_it_says():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    context = values["defaults"]["podSecurityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in DOCKERFILE
    ports = {port for name in ("ingress", "processor", "auditor") for port in values[name]["ports"].values()}
    assert ports == {int(port) for port in re.search(r"EXPOSE (.*)", DOCKERFILE).group(1).split()}


def test_the_image_has_the_version_of_the_chart_and_the_compiler_of_the_workspace():
    cargo = (ROOT / "Cargo.toml").read_text()
    assert f"ARG VERSION={yaml.safe_load((CHART / 'Chart.yaml').read_text())['appVersion']}" in DOCKERFILE
    compiler = re.search(r'rust-version = "(.*)"', cargo).group(1)
    assert f"FROM rust:{compiler}-" in DOCKERFILE


@pytest.mark.parametrize("service", ["ingress", "processor", "auditor"])
def test_the_services_accept_what_compose_tells_them(service, folder):
    told = COMPOSE[service]
    assert told["entrypoint"] == [f"/usr/local/bin/countersign-{service}"]
    for volume in told["volumes"]:
        source, target = volume.split(":")[:2]
        if not source.startswith("."):
            continue
        path = folder / target.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to((ROOT / "deploy" / source).resolve())
    environment = told["environment"] | {"COUNTERSIGN_CONFIG": f"{folder}{told['environment']['COUNTERSIGN_CONFIG']}"}
    ran = subprocess.run(
        [binary(f"countersign-{service}"), "--check-config"],
        env={"PATH": os.environ["PATH"]} | environment, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_compose_reaches_what_it_starts_and_publishes_on_this_machine_only():
    environment = COMPOSE["ingress"]["environment"]
    hosts = {
        re.search(r"(?:@|//)([a-z]+):\d+/", value).group(1)
        for name, value in environment.items()
        if name.endswith("URL")
    }
    assert hosts == {"postgres", "redis", "rabbitmq"} and hosts < set(COMPOSE)
    published = [port for service in COMPOSE.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    development = (ROOT / "deploy/dev/common.sh").read_text()
    for port in published:
        usual = re.fullmatch(r"127\.0\.0\.1:(?:\$\{COUNTERSIGN_[A-Z_]+_PORT:-)?(\d+)\}?:\d+", port).group(1)
        assert f"(({usual} + offset))" in development, f"{port} is not the port of `make up`"


def test_the_head_outlives_the_auditor_s_container():
    auditor = COMPOSE["auditor"]
    volumes = dict(volume.split(":")[:2] for volume in auditor["volumes"])
    (folder,) = [target for source, target in volumes.items() if not source.startswith(".")]
    head = pathlib.PurePosixPath(auditor["environment"]["COUNTERSIGN_CFG__AUDITOR__HEAD_FILE"])
    assert str(head.parent) == folder
    # A new volume has the mode of the image's folder.
    assert f'mkdir -m 1777 "$root{folder}"' in (ROOT / "deploy/docker/root.sh").read_text()


@pytest.mark.parametrize("service", OURS)
def test_what_is_ours_has_no_rights_and_no_place_to_write(service):
    told = COMPOSE[service]
    assert told["read_only"] and told["cap_drop"] == ["ALL"] and told["security_opt"] == ["no-new-privileges:true"]
