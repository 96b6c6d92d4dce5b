"""What the documents of deployment name is there."""

import re

import pytest

from conftest import ROOT, TESTS

DOCUMENTS = [
    ROOT / "deploy/README.md",
    ROOT / "deploy/UPGRADING.md",
    ROOT / "deploy/security.md",
    ROOT / "deploy/helm/countersign/README.md",
]


def known_tests():
    found = set()
    for folder in ("crates", "tests"):
        for path in (ROOT / folder).rglob("*.rs"):
            found |= set(re.findall(r"fn ([a-z0-9_]+)\(", path.read_text()))
    for path in TESTS.glob("test_*.py"):
        found |= set(re.findall(r"def (test_[a-z0-9_]+)\(", path.read_text()))
    return found


def metrics():
    text = "".join(path.read_text() for path in (ROOT / "crates").rglob("*.rs"))
    return set(re.findall(r'"([a-z0-9]+(?:_[a-z0-9]+)+)"', text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_and_metric_that_a_document_names_exists(document):
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    words = {word.split("{")[0] for word in re.findall(r"`([^`\s]+)`", text)}
    named = {word for word in words if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+){3,}", word)}
    known = known_tests() | metrics()
    assert not {name for name in named if name not in known and name.removesuffix("_total") not in known}


def test_every_row_about_a_threat_names_a_test_that_shows_it():
    security = (ROOT / "deploy/security.md").read_text()
    threats = security.split("## What users are afraid of")[1].split("## Least privilege")[0]
    rows = [
        line
        for line in threats.splitlines()
        if line.startswith("|") and not line.startswith(("|---", "| threat", "| hop"))
    ]
    assert len(rows) > 20
    known = known_tests()
    for row in rows:
        shown = re.findall(r"`([a-z0-9_]+)`", row.split("|")[-2])
        assert shown and set(shown) <= known, f"{row}\n{set(shown) - known}"


def test_every_step_of_an_upgrade_ends_in_a_command_with_an_exit_code():
    text = (ROOT / "deploy/UPGRADING.md").read_text() + (ROOT / "deploy/README.md").read_text().split("## Upgrade")[1]
    rows = [line for line in text.splitlines() if re.match(r"\| (?!step )", line) and line.count("`") > 1]
    assert len(rows) > 12
    for row in rows:
        last = re.fullmatch(r"`([a-z]+)(?: [a-z-]+)? .*`(?: \(.*\))?", re.split(r"(?<!\\)\|", row)[-2].strip())
        assert last and last.group(1) in ("countersign", "curl", "helm", "kubectl"), row


def test_every_command_of_ours_that_a_page_about_upgrades_has_is_one():
    known = set(re.findall(r"^    ([A-Z][A-Za-z]+)[,(]", (ROOT / "crates/cli/src/main.rs").read_text(), flags=re.MULTILINE))
    known = {re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower() for name in known}
    for page in ("README.md", "UPGRADING.md"):
        text = (ROOT / "deploy" / page).read_text()
        named = set(re.findall(r"(?:`|&& |countersign )countersign ([a-z-]+)[ `]", text))
        assert named <= known, (page, named - known)
