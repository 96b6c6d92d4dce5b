"""Where `make up` gets its servers: from programs of this machine, else from a container engine, else from apt. The machine
here is a folder of programs: what the scripts use, and stand-ins for engines and apt that write down what they are asked."""

import pathlib
import shutil
import subprocess

import pytest

from conftest import ROOT

SCRIPT = ROOT / "deploy/dev/servers.sh"
USED = (
    "bash cat chmod chown cp cut date dirname env flock grep id ln mkdir mktemp mv printf readlink rm sed setpriv setsid sha256sum "
    "sleep sort tail timeout tr"
).split()


class Machine:
    """One without Redis, so that a program is missing whatever else this one has."""

    def __init__(self, folder):
        self.programs, self.asked = folder / "bin", folder / "asked"
        self.programs.mkdir()
        self.asked.touch()
        for program in USED:
            (self.programs / program).symlink_to(shutil.which(program))
        # A system of its own beside whatever runs here: its state is in a folder of that number.
        self.offset = next(
            str(number) for number in range(8000, 9000, 10) if not (ROOT / f".run/offset-{number}").exists()
        )
        self.run = ROOT / f".run/offset-{self.offset}"

    def has(self, program, script="exit 0"):
        path = self.programs / program
        path.write_text(f'#!/bin/bash\nprintf "%s\\n" "${{0##*/}} $*" >>{self.asked}\n{script}\n')
        path.chmod(0o755)

    def servers(self, *arguments):
        environment = {"PATH": str(self.programs), "COUNTERSIGN_PORT_OFFSET": self.offset}
        ran = subprocess.run([SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=60)
        asked = self.asked.read_text().splitlines()
        self.asked.write_text("")
        return ran, asked


@pytest.fixture
def machine(folder):
    made = Machine(folder)
    yield made
    shutil.rmtree(made.run, ignore_errors=True)


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_servers_are_containers_where_programs_are_missing_and_an_engine_answers(machine, engine):
    machine.has(engine, 'case "$*" in *psql*) echo 1 ;; esac')
    machine.has("apt-get")
    ran, asked = machine.servers("start")
    assert ran.returncode == 0, ran.stderr
    compose = f"{engine} compose --file {ROOT}/deploy/compose.yaml --project-name countersign-servers-{machine.offset}"
    assert asked[:3] == [f"{engine} info", f"{engine} compose version", f"{compose} up --detach postgres redis rabbitmq"]
    assert all(question.startswith(f"{compose} exec -T ") for question in asked[3:]) and len(asked) == 6
    for arguments, expected in (
        (["status"], [f"{compose} exec -T redis redis-cli ping"]),
        (["psql", "-c", "SELECT 1"], [f"{compose} exec -T postgres psql -X -h 127.0.0.1 -U postgres -c SELECT 1"]),
        (["ctl", "list_queues"], [f"{compose} exec -T rabbitmq rabbitmqctl list_queues"]),
        (["stop"], [f"{compose} stop"]),
        (["wipe"], [f"{compose} down --volumes"]),
    ):
        ran, asked = machine.servers(*arguments)
        assert ran.returncode == 0 and set(expected) <= set(asked), (arguments, asked, ran.stderr)
    # With its data gone it is as if nothing had been.
    assert not (machine.run / "servers-in-containers").exists()


def test_the_containers_are_on_the_ports_of_the_private_servers(machine):
    machine.has("docker", f'env | grep ^COUNTERSIGN_.*_PORT= | sort -u >{machine.asked}.ports')
    assert machine.servers("start")[0].returncode == 0
    ports = pathlib.Path(f"{machine.asked}.ports").read_text().split()
    usual = {"AMQP": 55672, "POSTGRES": 55432, "RABBITMQ_API": 55674, "REDIS": 56379}
    assert ports == [f"COUNTERSIGN_{name}_PORT={port + int(machine.offset)}" for name, port in usual.items()]
    compose = (ROOT / "deploy/compose.yaml").read_text()
    assert all(f"${{COUNTERSIGN_{name}_PORT:-{port}}}" in compose for name, port in usual.items())


def test_an_engine_that_does_not_answer_is_none(machine):
    machine.has("docker", '[[ $1 != info ]]')
    machine.has("podman", '[[ $1 != compose ]]')
    ran, asked = machine.servers("start")
    assert asked == ["docker info", "podman info", "podman compose version"]
    # There is no apt either: it says what to do, in both ways.
    assert ran.returncode == 69
    assert "container engine" in ran.stderr and "redis-server" in ran.stderr
