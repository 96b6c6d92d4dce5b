"""The system as an operator has it: three services that run, the tool beside them, and a Prometheus that reads them."""

import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import urllib.parse
import urllib.request

import yaml

from conftest import BINARIES, ROOT, binary
from processes import PATIENCE_S, free_ports, get, until

SERVICES = {"auditor": 9083, "processor": 9082, "ingress": 9081}
SOURCES = ("stripe", "telegram")


# What a page's `curl -s URL` needs, on a machine that has none.
CURL = """#!/usr/bin/env python3
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[2])
except urllib.error.HTTPError as error:
    answer = error
sys.stdout.buffer.write(answer.read())
"""


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes alerts."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Installation:
    """Each service with the user and the role that it has in production; the tool with the operator's."""

    def __init__(self, folder, broker, cache, database):
        self.folder, self.broker, self.cache, self.database = folder, broker, cache, database
        http_port, *admin, self.prometheus_port = free_ports(len(SERVICES) + 2)
        self.ports = {"http": http_port} | dict(zip(SERVICES, admin))
        self.running = {}
        self.receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        (folder / "bin").mkdir()
        if not shutil.which("curl"):
            (folder / "bin/curl").write_text(CURL)
            (folder / "bin/curl").chmod(0o755)
        shutil.copytree(ROOT / "deploy/dev/secrets", folder / "secrets")
        (folder / "receiver").write_text(f"http://127.0.0.1:{self.receiver.server_port}/alerts")
        config = (ROOT / "deploy/dev/countersign.toml").read_text()
        self.config = folder / "countersign.toml"
        self.config.write_text(
            config
            + '[auditor.alerts]\nrunbook_base_url = "https://runbooks.example"\n'
            + '[auditor.alerts.routes.on-call]\nkind = "webhook"\nurl = "file:receiver"\n'
            + 'secrets = ["file:secrets/standard-webhooks"]\n'
        )
        (folder / "secrets/standard-webhooks").write_text("whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\n")
        self.changed = {
            "INGRESS__LISTEN": f"127.0.0.1:{http_port}",
            "REDIS__URL": "env:REDIS_URL",
            "REDIS__PREFIX": cache.prefix,
            # Not what is tested here, and two cores may be busy.
            "REDIS__BUDGET_MS": "1000",
            "RABBITMQ__URL": "env:RABBITMQ_URL",
            "RABBITMQ__DECLARE": "false",
            "AUDITOR__EVERY_S": "1",
            "AUDITOR__HEAD_FILE": "head",
            "POSTGRES__URL": database.url(database.at.username),
            **{f"{name.upper()}__ADMIN_LISTEN": f"127.0.0.1:{self.ports[name]}" for name in SERVICES},
            **{
                f"{name.upper()}__DATABASE_URL": database.url(f"countersign_{name}")
                for name in ("processor", "auditor", "operator")
            },
        }

    def environment(self, who):
        user = "countersign-operator" if who == "auditor" else f"countersign-{who}"
        changed = {f"COUNTERSIGN_CFG__{key}": value for key, value in self.changed.items()}
        urls = {"REDIS_URL": self.cache.url(), "RABBITMQ_URL": self.broker.url(user)}
        path = f"{BINARIES}:{self.folder}/bin:{os.environ['PATH']}"
        return {"PATH": path, "COUNTERSIGN_CONFIG": str(self.config), "LANG": "C.UTF-8"} | urls | changed

    def tool(self, *arguments, expected=(0,)):
        """What the tool says; it must end with an expected code."""
        ended = self.once([binary("countersign"), *arguments])
        assert ended.returncode in expected, f"{arguments}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def once(self, command):
        environment = self.environment("operator")
        return subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_S
        )

    def spawn(self, name, command, environment):
        with open(self.folder / f"{name}.log", "a") as log:
            self.running[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def start(self, name):
        self.spawn(name, [binary(f"countersign-{name}")], self.environment(name))
        self.await_answer(name, self.ports[name], "/readyz")

    def await_answer(self, name, port, path):
        def answers():
            assert self.running[name].poll() is None, self.log(name)[-2000:]
            return get(port, path)[0] == 200

        until(lambda: f"{name} is ready: {self.log(name)[-2000:]}", answers)

    def stop(self, name):
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, self.log(name)[-2000:]

    def metrics(self, name):
        return get(self.ports[name], "/metrics")[1]

    def send(self, *arguments, source="stripe", event="charge.succeeded", expected=(0,)):
        return self.tool("send", "--source", source, "--event", event, *arguments, expected=expected)

    def watch(self):
        """Starts a Prometheus with the rules of the repository; it reads the services every second."""
        targets = [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{self.ports[name]}"]}]} for name in SERVICES
        ]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ROOT / "deploy/prometheus/*.yaml")],
            "scrape_configs": targets,
        }
        (self.folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        command = [
            shutil.which("prometheus"),
            f"--config.file={self.folder}/prometheus.yaml",
            f"--storage.tsdb.path={self.folder}/prometheus",
            f"--web.listen-address=127.0.0.1:{self.prometheus_port}",
        ]
        self.spawn("prometheus", command, {"PATH": os.environ["PATH"]})
        self.await_answer("prometheus", self.prometheus_port, "/-/ready")

    def ask(self, path, **parameters):
        """An answer of Prometheus."""
        url = f"http://127.0.0.1:{self.prometheus_port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return json.load(answer)["data"]

    def moved(self, text):
        """A command line with the addresses of this installation."""
        ports = {8080: self.ports["http"]} | {port: self.ports[name] for name, port in SERVICES.items()}
        return re.sub(r"127\.0\.0\.1:(\d+)", lambda at: f"127.0.0.1:{ports.get(int(at[1]), at[1])}", text)

    def __enter__(self):
        threading.Thread(target=self.receiver.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        for process in self.running.values():
            process.kill()
            process.wait()
        self.receiver.shutdown()
        self.receiver.server_close()
