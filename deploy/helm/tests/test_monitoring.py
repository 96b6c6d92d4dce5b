"""What watches the system, held against a system that runs: every expression of rules and dashboards is asked of a Prometheus
that reads the three services after traffic of every kind, and every command of the runbooks is run."""

import datetime
import os
import pathlib
import re
import secrets
import subprocess
import tempfile

import pytest

from conftest import ROOT
from installation import SERVICES, SOURCES, Installation
from processes import until
from promql import of_dashboards, rules, selectors
from servers import Broker, Cache, Database

@pytest.fixture(scope="module")
def installation():
    os.umask(0o022)
    name = f"watched-{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory(prefix="watched-") as folder, Broker(name) as broker, Cache(name) as cache:
        with Database(name) as database, Installation(pathlib.Path(folder), broker, cache, database) as system:
            system.tool("migrate")
            for service in SERVICES:
                system.start(service)
            system.watch()
            # Twice, apart: what counts has to have grown between two readings.
            for round_ in ("a", "b"):
                traffic(system, round_)
                read_again(system)
            yield system


def traffic(system, round_):
    """Accepted, replayed with a result, too old, of another content, forged, expired, from Telegram, and at no source."""
    charge = ["--id", f"evt_{round_}", "--object", f"ch_{round_}"]
    system.send(*charge)
    booked(system, f"evt_{round_}")
    system.send(*charge)
    system.send("--id", f"evt_old_{round_}", "--object", f"ch_old_{round_}", "--created-ago", "400")
    system.send("--id", f"evt_forged_{round_}", "--forge")
    # No more than five of authentic senders: more is a finding.
    if round_ == "a":
        system.send("--id", "evt_a", "--object", "ch_other", expected=(0, 1))
        system.send("--id", "evt_expired", "--age", "700")
    else:
        system.send("--id", "evt_late", "--object", "ch_late", "--created-ago", "500")
    system.send(source="telegram", event="successful_payment")
    system.send("--url", f"http://127.0.0.1:{system.ports['http']}/elsewhere", expected=(0, 1, 2))
    until(lambda: "the stale event is parked", lambda: f"evt_old_{round_}" in system.tool("events", "--status", "parked"))


def booked(system, event):
    until(lambda: f"{event} is booked", lambda: "booked" in system.tool("event", event, expected=(0, 1)))


def read_again(system):
    """Waits until every service has been read, and every rule evaluated, once more."""

    def now():
        return float(system.ask("query", query="time()")["result"][1])

    def latest(query):
        found = system.ask("query", query=query)["result"]
        return min((float(each["value"][1]) for each in found), default=0) if len(found) >= len(SERVICES) else 0

    sent = now()
    until(lambda: "every service is read", lambda: latest("min by (job) (timestamp(countersign_build_info))") > sent)
    read = now()

    def evaluated():
        groups = system.ask("rules")["groups"]
        since = datetime.datetime.fromtimestamp(read, datetime.timezone.utc)
        return all(datetime.datetime.fromisoformat(group["lastEvaluation"][:19] + "+00:00") > since for group in groups)

    until(lambda: "every rule is evaluated", evaluated)


def answered(system, expression):
    return system.ask("query", query=expression)["result"]


def all_answered(system, expressions):
    """Every expression, by its name, has a result; a rule that was evaluated as of an earlier moment is waited for."""
    empty = dict(expressions)

    def none_left():
        for name in [name for name, expression in empty.items() if answered(system, expression)]:
            del empty[name]
        return not empty

    until(lambda: f"these have a result: {list(empty)}", none_left)


def test_every_series_that_a_rule_or_a_dashboard_asks_for_is_there(installation):
    asked = {each for rule in rules() for each in selectors(rule["expr"])}
    asked |= {each for _, _, expression in of_dashboards() for each in selectors(expression)}
    assert len(asked) > 60
    all_answered(installation, {each: each for each in sorted(asked)})


def test_every_panel_has_something_to_show(installation):
    panels = {f"{dashboard}: {title}: {expression}": expression for dashboard, title, expression in of_dashboards()}
    all_answered(installation, panels)


def test_every_rule_can_be_evaluated_and_a_system_under_test_is_well(installation):
    groups = installation.ask("rules")["groups"]
    everything = [rule for group in groups for rule in group["rules"]]
    assert len(everything) == len(list(rules()))
    assert not {rule["name"]: rule["lastError"] for rule in everything if rule["health"] != "ok"}
    firing = {rule["name"] for rule in everything if rule.get("state") == "firing"}
    assert firing == {"Watchdog"}
    assert answered(installation, "countersign:auditor_pages == 1") and answered(installation, "countersign:auditor_warns == 1")


def test_every_source_is_measured_and_no_stranger_makes_a_label(installation):
    for label in ("source", "type", "answer", "http_route", "http_request_method"):
        values = installation.ask(f"label/{label}/values")
        assert values and len(values) < 40, f"{label}: {values}"
    assert set(installation.ask("label/source/values")) == {*SOURCES, "other"}


RUNBOOKS = sorted((ROOT / "deploy/runbooks").glob("*.md"))
BLOCK = re.compile(r"^( *)```(\S*)( manual)?\n(.*?)\n\1```$", re.DOTALL | re.MULTILINE)


def blocks(page):
    """(language, marked as manual, lines) of every fenced block."""
    for match in BLOCK.finditer(page.read_text()):
        yield match[2], bool(match[3]), [line.strip() for line in match[4].splitlines()]


@pytest.fixture(scope="module")
def named(installation):
    """What the placeholders of the pages stand for here."""
    reused = psql(installation, "SELECT d.instance || ':' || d.sequence FROM countersign.evidence_undecided AS e "
                  "JOIN countersign.delivery AS d ON d.id = e.delivery_row WHERE e.reason = 'event-id-reused'")
    return {"evt_…": "evt_a", "evt_1ABC": "evt_old_a", "evt_2DEF": "evt_old_b", "INSTANCE:SEQ": reused.split()[0]}


def psql(system, statement):
    command = [ROOT / "deploy/dev/servers.sh", "psql", "-qAt", "-d", system.database.name]
    statement = f"SET ROLE countersign_operator; {statement}"
    return subprocess.run([*command, "-c", statement], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_every_command_of_a_runbook_does_what_it_says_or_is_marked_as_manual(installation, named, page):
    for language, manual, lines in blocks(page):
        text = "\n".join(lines)
        for placeholder, value in named.items():
            text = text.replace(placeholder, value)
        if manual:
            continue
        assert "…" not in text, f"{page.stem}: {text}"
        if language == "sql":
            psql(installation, text)
            continue
        assert not language, f"{page.stem}: who runs {language}?"
        for line in text.splitlines():
            ended = installation.once(["bash", "-euo", "pipefail", "-c", installation.moved(line)])
            assert ended.returncode == 0, f"{line}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
            assert ended.stdout, f"{line} says nothing"


def test_what_is_manual_is_what_cannot_be_run_here():
    manual = {line.split()[0] for page in RUNBOOKS for _, marked, lines in blocks(page) if marked for line in lines}
    assert manual <= {"rabbitmq-diagnostics", "redis-cli", "kubectl", "stripe", "rabbitmqctl"}


def in_text():
    """Every command that stands in the text of a page, once."""
    for page in RUNBOOKS:
        text = BLOCK.sub("", page.read_text())
        yield from re.findall(r"`((?:countersign|curl|date|openssl) [^`]+)`", re.sub(r"\s+", " ", text))


# Commands that answer: 1 is an answer too.
ANSWERS = ("countersign verify", "countersign findings")


def prepared(system, command, number):
    """The command with something of its own to act on in the place of its placeholders."""
    event, stale = f"evt_text_{number}", ["--object", f"ch_text_{number}", "--created-ago", "400"]
    _, tool, *arguments = command.split(" ")
    if tool in ("release", "dismiss", "event", "check-signature", "acknowledge") and not arguments:
        return f"{command} --help"  # Named, not given.
    if "--delivery" in arguments:
        system.send("--id", event, "--object", f"ch_{number}")
        booked(system, event)
        system.send("--id", event, "--object", f"ch_other_{number}", expected=(0, 1))
        found = f"SELECT instance || ':' || sequence FROM countersign.delivery WHERE reason = 'event-id-reused' AND event_id = '{event}'"
        until(lambda: f"the books have the other {event}", lambda: psql(system, found))
        command = command.replace("INSTANCE:SEQ", psql(system, found).strip())
    elif tool in ("release", "dismiss"):
        system.send("--id", event, *stale)
        until(lambda: f"{event} is parked", lambda: event in system.tool("events", "--status", "parked"))
        command = command.replace("evt_…", event)
    elif tool == "acknowledge":
        until(lambda: "refusals are a finding", lambda: system.once(["countersign", "findings", "--open"]).returncode == 1)
        command = command.replace("ID", re.search(r"^(\d+) ", system.tool("findings", "--open", expected=(1,)), re.M)[1])
    elif tool == "check-signature":
        printed = system.send("--id", event, "--print")
        header, body = (re.search(pattern, printed)[1] for pattern in (r"(Stripe-Signature: [^']+)'", r"--data-binary '([^']+)'"))
        (system.folder / "body").write_text(body)
        command = command.replace("Stripe-Signature: …", header).replace("FILE", "secrets/stripe")
    command = command.replace("http://…", f"http://127.0.0.1:{system.ports['http']}")
    return command.replace("--reason …", "--reason 'a test'").replace("…", "a test")


def test_every_command_in_the_text_of_a_runbook_does_what_it_says(installation):
    commands = sorted(set(in_text()), key=lambda command: ("acknowledge" in command, "adopt" in command, command))
    assert len(commands) > 20
    for number, command in enumerate(commands):
        line = installation.moved(prepared(installation, command, number))
        ended = installation.once(["bash", "-euo", "pipefail", "-c", line])
        expected = (0, 1) if command.startswith(ANSWERS) else (0,)
        assert ended.returncode in expected, f"{line}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
