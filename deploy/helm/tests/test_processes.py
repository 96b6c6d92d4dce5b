"""A rendered release, without a cluster: every pod's command with its arguments, environment and files, as its user, in
the image's file system, against servers that grant no more than deploy/rabbitmq, deploy/redis and the schema do."""

import secrets
import subprocess

import pytest

from conftest import MINIMAL, binary, deep, render
from processes import PATIENCE_S, Image, Release, free_ports, get, until


@pytest.fixture(scope="module")
def system(world):
    """A release over them: every rendered secret is one of theirs, and no service declares anything."""
    folder, broker, cache, database = world
    http_port, *admin = free_ports(4)
    values = {
        "fullnameOverride": "books",
        "config": {
            "ingress": {"without_replay_state": "closed"},
            "redis": {"prefix": cache.prefix, "budget_ms": 1000},
            "rabbitmq": {"declare": False},
        },
        "sources": {"stripe": {"livemode": "test"}},
        "ingress": {"ports": {"http": http_port, "admin": admin[0]}, "service": {"port": http_port}},
        "processor": {"ports": {"admin": admin[1]}},
        "auditor": {"ports": {"admin": admin[2]}},
    }
    secret = {
        "redis-url": cache.url(),
        "replay-secret": secrets.token_hex(32),
        "ingress-rabbitmq-url": broker.url("countersign-ingress"),
        "processor-rabbitmq-url": broker.url("countersign-processor"),
        "processor-database-url": database.url("countersign_processor"),
        "auditor-database-url": database.url("countersign_auditor"),
        "migrations-database-url": database.url(database.at.username),
        "source-stripe": f"whsec_{secrets.token_hex(16)}",
    }
    documents = render(deep(MINIMAL, values))[0]
    with Release(
        folder, Image(folder), documents, {("countersign", key): text for key, text in secret.items()}
    ) as release:
        release.ports = {"http": http_port, "ingress": admin[0], "processor": admin[1], "auditor": admin[2]}
        yield release


SERVICES = ["books-auditor", "books-processor", "books-ingress"]


def test_a_rendered_release_starts_books_and_stops_with_no_more_rights_than_it_was_given(world, system, capsys):
    with capsys.disabled():
        confined = "confined to the image" if system.image.confined else "not confined: not root"
        read_only = ", read-only" if system.image.read_only else ""
        print(f"\n[pods as processes, {confined}{read_only}]", end=" ")
    succeeded(system.once("books-migrations"))
    for name in SERVICES:
        system.start(name)
    for name in SERVICES:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            system.await_probe(name, probe)

    forgeries_are_refused(system)
    what_is_sent_is_booked_and_replayed(system)
    an_operator_may_release(world, system)
    succeeded(system.once("books-test-verify"))

    for name in reversed(SERVICES):
        assert system.stop(name) == 0, system.log(name)[-2000:]
        for secret in system.values.values():
            assert secret not in system.log(name), f"a secret is in the log of {name}"


def succeeded(ended):
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def here(system):
    """Where the Service would lead."""
    return f"http://127.0.0.1:{system.ports['http']}"


def forgeries_are_refused(system):
    (container,) = system.pods["books-test-forgery"]["containers"]
    service = f"http://books-ingress:{system.ports['http']}"
    assert service in container["args"], "the test asks the Service"
    assert "signature-mismatch" in succeeded(system.once("books-test-forgery", [(service, here(system))]))


def send(system, *arguments):
    """Sends as the ingress, which alone is given the signing secret; says what was answered."""
    words, environment = system.prepared("books-ingress")
    at = words.index("/usr/local/bin/countersign-ingress") if system.image.confined else 0
    tool = "/usr/local/bin/countersign" if system.image.confined else binary("countersign")
    command = [*words[:at], tool, "send", "--source", "stripe", "--url", here(system), *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    return succeeded(ended)


def recorded(system, outcome):
    """Waits until a message has this outcome."""
    told = f'outcome="{outcome}",settlement="new"}} 1'
    until(
        lambda: f"{outcome}: {system.log('books-processor')}",
        lambda: told in get(system.ports["processor"], "/metrics")[1],
    )


def what_is_sent_is_booked_and_replayed(system):
    charge = ["--event", "charge.succeeded", "--id", "evt_chart", "--object", "ch_chart"]
    assert send(system, *charge).startswith("accepted")
    recorded(system, "booked")
    assert send(system, *charge).startswith("replayed"), "Redis was not asked, or may not do what is needed"


def an_operator_may_release(world, system):
    """From outside, with the operator's own role and user."""
    folder, broker, _, database = world
    stale = ["--event", "charge.succeeded", "--id", "evt_stale", "--object", "ch_stale", "--created-ago", "400"]
    assert "event-too-old" in send(system, *stale)
    file = folder / "operator.toml"
    (folder / "rabbitmq-url").write_text(broker.url("countersign-operator"))
    url = database.url("countersign_operator")
    file.write_text(f'[operator]\ndatabase_url = "{url}"\n[rabbitmq]\nurl = "file:rabbitmq-url"\n')
    command = [binary("countersign"), "release", "evt_stale", "--reason", "a test of the chart"]

    def released():
        ended = subprocess.run(command, env={"COUNTERSIGN_CONFIG": str(file)}, capture_output=True, text=True)
        return ended.returncode == 0

    until(lambda: "an operator releases a stale event", released)
