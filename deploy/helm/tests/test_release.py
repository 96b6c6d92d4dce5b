"""What a release must not break: selectors are for life. And what other programs read of the chart."""

import subprocess

import pytest
import yaml

from conftest import CHART, MINIMAL, ROOT, of_kind, release, render


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def last_release():
    """The tag of the last release that had the chart, if there was one."""
    for tag in git("tag", "--list", "v*", "--sort=-version:refname", "--merged", "HEAD").decode().split():
        if git("ls-tree", tag, "deploy/helm/countersign/Chart.yaml"):
            return tag
    return None


def selectors(documents):
    return {each["metadata"]["name"]: each["spec"]["selector"] for each in of_kind(documents, "Deployment")}


def test_selectors_are_those_of_the_last_release(folder):
    tag = last_release()
    if tag is None:
        return  # Nothing was released yet: nobody has to be upgraded.
    subprocess.run(["tar", "-x", "-C", folder], input=git("archive", tag, "deploy"), check=True)
    before = render(MINIMAL, chart=folder / "deploy/helm/countersign")[0]
    assert selectors(before) == selectors(render(MINIMAL, is_install=False, is_upgrade=True)[0])


def test_the_chart_has_the_version_of_the_binaries():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    cargo = (ROOT / "Cargo.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in cargo
    assert f"countersign:{chart['appVersion']}" in chart["annotations"]["artifacthub.io/images"]
    for key in ("images", "changes"):
        assert yaml.safe_load(chart["annotations"][f"artifacthub.io/{key}"])


@pytest.mark.parametrize(
    "path",
    [
        *sorted((CHART / "ci").glob("*.yaml")),
        CHART / "values.yaml",
        CHART / "Chart.yaml",
        ROOT / "deploy/compose.yaml",
        *sorted((ROOT / "deploy/prometheus").rglob("*.yaml")),
        ROOT / "deploy/alertmanager/alertmanager.yaml",
    ],
    ids=lambda path: path.name,
)
def test_yaml_has_one_style(path):
    rules = "line-length: disable, document-start: disable, comments: {min-spaces-from-content: 1}"
    linted = subprocess.run(
        ["yamllint", "-s", "-d", f"{{extends: default, rules: {{{rules}}}}}", path], capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout
