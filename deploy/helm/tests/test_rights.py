"""What the repository's files do not grant is refused, and what they make is what the services expect."""

import json
import os
import secrets
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pika
import pytest

from conftest import ROOT, binary
from processes import free_ports, get, until
from servers import server

REFUSED = [
    ("countersign-ingress", lambda channel: channel.basic_get("countersign.ledger")),
    ("countersign-ingress", lambda channel: publish(channel, "countersign.booked", "booked.stripe")),
    ("countersign-ingress", lambda channel: publish(channel, "countersign.events", "request.release")),
    ("countersign-ingress", lambda channel: publish(channel, "", "countersign.ledger")),
    ("countersign-ingress", lambda channel: channel.queue_declare("countersign.spy")),
    ("countersign-ingress", lambda channel: channel.queue_bind("countersign.dead", "countersign.events", "#")),
    ("countersign-ingress", lambda channel: channel.queue_purge("countersign.ledger")),
    ("countersign-ingress", lambda channel: channel.queue_delete("countersign.ledger")),
    ("countersign-processor", lambda channel: publish(channel, "countersign.events", "accepted.stripe.charge")),
    ("countersign-processor", lambda channel: channel.queue_delete("countersign.ledger")),
    ("countersign-operator", lambda channel: publish(channel, "countersign.events", "accepted.stripe.charge")),
    ("countersign-operator", lambda channel: channel.basic_get("countersign.ledger")),
    ("countersign-depths", lambda channel: channel.basic_get("countersign.ledger")),
    ("countersign-depths", lambda channel: publish(channel, "countersign.events", "accepted.stripe.charge")),
]


def publish(channel, exchange, key):
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"")


@pytest.mark.parametrize("user, deed", REFUSED, ids=[f"{user}-{i}" for i, (user, _) in enumerate(REFUSED)])
def test_the_broker_refuses_what_a_service_does_not_need(world, user, deed):
    _, broker, _, _ = world
    with broker.channel(user) as channel, pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
        deed(channel)
    assert refused.value.reply_code == 403, refused.value


GRANTED = [
    ("countersign-ingress", "countersign.events", "accepted.stripe.charge.succeeded"),
    ("countersign-ingress", "countersign.events", "refused.stripe.event-too-old"),
    ("countersign-ingress", "countersign.events", "control.0123"),
    ("countersign-processor", "countersign.booked", "booked.stripe.charge.succeeded"),
    ("countersign-operator", "countersign.events", "request.release"),
]


@pytest.mark.parametrize("user, exchange, key", GRANTED, ids=[key for _, _, key in GRANTED])
def test_the_broker_grants_what_a_service_needs(world, user, exchange, key):
    _, broker, _, _ = world
    with broker.channel(user) as channel:
        publish(channel, exchange, key)


def test_who_may_ask_for_depths_learns_them_and_nothing_of_the_broker(world):
    _, broker, _, _ = world
    credentials = f"{broker.user('countersign-depths')}:{broker.password}"
    queue = broker.ask("GET", f"queues/{broker.name}/countersign.ledger", credentials=credentials)
    assert queue["name"] == "countersign.ledger"
    for path in ("users", "definitions"):
        with pytest.raises(urllib.error.HTTPError):
            broker.ask("GET", path, credentials=credentials)


def test_a_user_of_the_definitions_cannot_log_in_before_it_is_given_a_password():
    definitions = json.loads((ROOT / "deploy/rabbitmq/definitions.json").read_text())
    assert all(user["password_hash"] == "" for user in definitions["users"])
    assert {user["name"]: user["tags"] for user in definitions["users"] if user["tags"]} == {
        "countersign-depths": ["management"]
    }


def test_the_definitions_are_what_the_services_declare(world):
    """A queue or exchange with other arguments would be refused (406) to a service that declares."""
    folder, broker, cache, _ = world
    http_port, admin = free_ports(2)
    own = folder / "declaring"
    (own / "etc").mkdir(parents=True)
    files = {"redis": cache.url(), "replay": secrets.token_hex(32), "stripe": "whsec_x"}
    at = server("COUNTERSIGN_TEST_AMQP_URL")
    files["rabbitmq"] = f"amqp://{at.username}:{at.password}@{at.hostname}:{at.port}/{broker.name}"
    for name, text in files.items():
        (own / name).write_text(text)
    broker.ask("PUT", f"permissions/{broker.name}/{at.username}", {"configure": ".*", "write": ".*", "read": ".*"})
    (own / "c.toml").write_text(
        f'[ingress]\nlisten = "127.0.0.1:{http_port}"\nadmin_listen = "127.0.0.1:{admin}"\n'
        f'[redis]\nurl = "file:redis"\n[replay]\nsecret = "file:replay"\n'
        f'[rabbitmq]\nurl = "file:rabbitmq"\ndeclare = true\n'
        f'[sources.stripe]\nown_account = "acct_dev"\nsecrets = ["file:stripe"]\n'
    )
    environment = {"PATH": os.environ["PATH"], "COUNTERSIGN_CONFIG": str(own / "c.toml")}
    with open(own / "log", "w") as log:
        process = subprocess.Popen([binary("countersign-ingress")], env=environment, stderr=log)
    try:
        until(lambda: (own / "log").read_text(), lambda: get(admin, "/readyz")[0] == 200)
    finally:
        process.terminate()
        process.wait()


def test_redis_refuses_what_a_service_does_not_need(world):
    _, _, cache, _ = world
    refused = [
        ("GET", "other:key"),
        ("SET", "other:key", "v"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("DEL", f"{cache.prefix}k"),
    ]
    for words in refused:
        answer = cache.ask("ACL", "DRYRUN", cache.user, *words)
        assert "permissions" in answer, f"{words}: {answer}"
    assert cache.ask("ACL", "DRYRUN", cache.user, "GET", f"{cache.prefix}k").startswith("+OK")
