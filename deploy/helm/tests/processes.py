"""Pods as processes: the image's file system, and a release whose containers run in it."""

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time

import materialise
from conftest import BINARIES, ROOT, binary, pods

USER = 65532
PATIENCE_S = 60


def until(what, condition):
    """Waits for a condition, and says what was waited for in vain."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"in vain: {what()}"
        time.sleep(0.1)
    return value


class Image:
    """The image's file system in a folder. As root a process is confined to it, as its user and, where the kernel
    lets us, with nothing that it could write to; else it runs beside it."""

    def __init__(self, folder):
        self.root = folder / "image"
        programs = self.root / "usr/local/bin"
        programs.mkdir(parents=True)
        for name in ("countersign", "countersign-ingress", "countersign-processor", "countersign-auditor"):
            shutil.copy(binary(name), programs)
        subprocess.run([ROOT / "deploy/docker/root.sh", self.root, ROOT / "Cargo.lock"], check=True)
        self.confined = os.geteuid() == 0 and self.works(self.within(self.root))
        self.read_only = self.confined and self.works(self.read_only_within(self.root, []))

    def works(self, prefix):
        return subprocess.run([*prefix, "/usr/local/bin/countersign", "--version"], capture_output=True).returncode == 0

    def within(self, root):
        return ["chroot", f"--userspec={USER}:{USER}", root]

    def read_only_within(self, root, writable):
        """Binds the root upon itself, read-only but for its volumes, in a mount name space of its own."""
        script = """
            set -e
            root=$1 && shift
            mount --bind "$root" "$root"
            while [ "$1" != -- ]; do mount --bind "$1" "$1" && shift; done
            mount -o remount,bind,ro "$root"
            shift && exec setpriv --no-new-privs "$@"
        """
        return ["unshare", "--mount", "sh", "-c", script, "sh", root, *writable, "--", *self.within(root)]

    def command(self, folder, documents, spec, values):
        """The words and the environment that run a pod's one container."""
        (container,) = spec["containers"]
        root = folder / "pod" if not self.confined else folder / "root"
        if self.confined:
            subprocess.run(["cp", "-al", self.root, root], check=True)
        (environment,) = materialise.write(root, documents, spec, values).values()
        words = [*container["command"], *container.get("args", [])]
        if not self.confined:
            return [BINARIES / words[0].rsplit("/", 1)[1], *words[1:]], materialise.moved(root, environment)
        subprocess.run(["chown", "-R", f"0:{USER}", root / "etc/countersign"], check=True)
        subprocess.run(["chmod", "-R", "u=rwX,g=rX,o=", root / "etc/countersign"], check=True)
        writable = [
            materialise.below(root, mount["mountPath"])
            for mount in container["volumeMounts"]
            if not mount.get("readOnly")
        ]
        confinement = self.read_only_within(root, writable) if self.read_only else self.within(root)
        return [*confinement, *words], environment


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


class Release:
    """The pods of a release, as processes."""

    def __init__(self, folder, image, documents, values):
        self.folder, self.image, self.documents, self.values = folder, image, documents, values
        self.pods = {name: spec for name, _, spec in pods(documents)}
        self.running = {}

    def prepared(self, name, changed=()):
        folder = self.folder / f"{name}-{secrets.token_hex(4)}"
        folder.mkdir()
        words, environment = self.image.command(folder, self.documents, self.pods[name], self.values)
        for old, new in changed:
            words = [new if word == old else word for word in words]
        return words, {"PATH": os.environ["PATH"]} | environment

    def once(self, name, changed=()):
        words, environment = self.prepared(name, changed)
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)

    def start(self, name):
        words, environment = self.prepared(name)
        log = open(self.folder / f"{name}.log", "w")
        self.running[name] = subprocess.Popen(words, env=environment, stderr=log, stdout=log)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def answers(self, name, probe):
        """Whether the probe of the pod's one container succeeds; it must be running."""
        (container,) = self.pods[name]["containers"]
        asked = container[probe]["httpGet"]
        (port,) = [port["containerPort"] for port in container["ports"] if port["name"] == asked["port"]]
        assert self.running[name].poll() is None, self.log(name)
        return get(port, asked["path"])[0] == 200

    def await_probe(self, name, probe):
        until(lambda: f"{probe} of {name}: {self.log(name)[-2000:]}", lambda: self.answers(name, probe))

    def stop(self, name):
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(PATIENCE_S)
        finally:
            process.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running.values():
            process.kill()
            process.wait()
