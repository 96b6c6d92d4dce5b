"""What the auditor signs, the official library of Standard Webhooks verifies: by the real binary, over real HTTP."""

import http.server
import json
import queue
import secrets
import subprocess
import threading
from base64 import b64encode

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from conftest import binary
from processes import PATIENCE_S


@pytest.fixture
def receiver():
    """An endpoint that takes everything, and what it was sent: headers and body."""
    taken = queue.Queue()

    class Taking(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            taken.put((dict(self.headers), body))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/alerts", taken
    server.shutdown()
    server.server_close()


def secret():
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


def test_the_official_library_verifies_what_the_auditor_signs_by_each_of_its_secrets(receiver, tmp_path):
    url, taken = receiver
    new, old = secret(), secret()
    (tmp_path / "secrets").write_text(f"{new}\n{old}\n")
    (tmp_path / "url").write_text(f"{url}\n")
    # Books that are away are told of at once, without them.
    (tmp_path / "countersign.toml").write_text(f"""
        [auditor]
        admin_listen = "127.0.0.1:0"
        database_url = "postgres://countersign_auditor@127.0.0.1:1/countersign"
        head_file = "head"
        every_s = 1
        [auditor.alerts]
        runbook_base_url = "https://runbooks.example.com"
        [auditor.alerts.routes.siem]
        kind = "webhook"
        url = "file:url"
        secrets = "file:secrets"
    """)
    with subprocess.Popen(
        [binary("countersign-auditor")], env={"COUNTERSIGN_CONFIG": tmp_path / "countersign.toml"}, stderr=subprocess.PIPE
    ) as auditor:
        try:
            headers, body = taken.get(timeout=PATIENCE_S)
        finally:
            auditor.terminate()
            log = auditor.stderr.read().decode()
    assert auditor.returncode == 0, log

    told = Webhook(new).verify(body, headers)
    assert (told["type"], told["data"]["alert"]) == ("finding.opened", "AuditCannotRead")
    assert Webhook(old).verify(body, headers) == told == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(body, headers | {"webhook-id": "another"})
