"""Servers with the rights that the repository's files give, under names of a test's own."""

import base64
import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pika

from conftest import ROOT


def server(variable):
    assert variable in os.environ, f"{variable} is not set: run deploy/dev/chart.sh"
    return urllib.parse.urlsplit(os.environ[variable])


class Broker:
    """A virtual host made of deploy/rabbitmq/definitions.json; its users have other names there, and a password."""

    def __init__(self, name):
        self.name, self.password = name, secrets.token_hex(16)
        self.api, self.amqp = server("COUNTERSIGN_TEST_RABBITMQ_API"), server("COUNTERSIGN_TEST_AMQP_URL")
        definitions = json.loads((ROOT / "deploy/rabbitmq/definitions.json").read_text())
        self.users = [user["name"] for user in definitions["users"]]
        text = json.dumps(definitions)
        for user in self.users:
            text = text.replace(f'"{user}"', f'"{self.user(user)}"')
        self.definitions = json.loads(re.sub(r'"(vhost|name)": "countersign"', rf'"\1": "{name}"', text))

    def user(self, name):
        return f"{name}-{self.name}"

    def ask(self, method, path, body=None, credentials=None):
        credentials = credentials or f"{self.api.username}:{self.api.password}"
        credentials = base64.b64encode(credentials.encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        url = f"http://{self.api.hostname}:{self.api.port}/api/{path}"
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def __enter__(self):
        self.ask("POST", "definitions", self.definitions)
        for user in self.definitions["users"]:
            body = {"password": self.password, "tags": ",".join(user["tags"])}
            self.ask("PUT", f"users/{user['name']}", body)
        return self

    def __exit__(self, *_):
        for user in self.users:
            self.ask("DELETE", f"users/{self.user(user)}")
        self.ask("DELETE", f"vhosts/{self.name}")

    def url(self, user):
        return f"amqp://{self.user(user)}:{self.password}@{self.amqp.hostname}:{self.amqp.port}/{self.name}"

    @contextlib.contextmanager
    def channel(self, user):
        connection = pika.BlockingConnection(pika.URLParameters(self.url(user)))
        try:
            yield connection.channel()
        finally:
            connection.close()


class Cache:
    """A user of Redis with the rights of deploy/redis/users.acl, and a password."""

    def __init__(self, name):
        self.at, self.user, self.password = server("COUNTERSIGN_TEST_REDIS_URL"), name, secrets.token_hex(16)
        self.prefix = f"countersign:{name}:"

    def ask(self, *words):
        """One command, as the servers' own user; the first line of the answer, and whatever comes with it."""
        with socket.create_connection((self.at.hostname, self.at.port)) as connection:
            parts = [f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)]
            connection.sendall("".join(parts).encode())
            answer = connection.recv(1 << 20).decode()
        assert not answer.startswith("-"), answer
        return answer

    def __enter__(self):
        lines = (ROOT / "deploy/redis/users.acl").read_text().splitlines()
        (rights,) = [line.split()[2:] for line in lines if line.startswith("user countersign ")]
        assert "user default off" in lines and rights[:2] == ["on", "resetpass"]
        self.ask("ACL", "SETUSER", self.user, *rights, f">{self.password}")
        return self

    def __exit__(self, *_):
        self.ask("ACL", "DELUSER", self.user)
        script = "for _, k in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', k) end"
        self.ask("EVAL", script, "0", f"{self.prefix}*")

    def url(self):
        return f"redis://{self.user}:{self.password}@{self.at.hostname}:{self.at.port}/0"


class Database:
    """A database of the test's own, empty: the release's Job migrates it."""

    def __init__(self, name):
        self.at, self.name = server("COUNTERSIGN_TEST_POSTGRES_URL"), name

    def psql(self, statement):
        subprocess.run([ROOT / "deploy/dev/servers.sh", "psql", "-qc", statement], check=True, capture_output=True)

    def __enter__(self):
        self.psql(f'CREATE DATABASE "{self.name}"')
        return self

    def __exit__(self, *_):
        self.psql(f'DROP DATABASE "{self.name}" WITH (FORCE)')

    def url(self, role):
        return f"postgres://{role}@{self.at.hostname}:{self.at.port}/{self.name}"
