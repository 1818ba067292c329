"""Enrolment over a real server: the two programs, the page with the QR, and who is turned away."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
from backends import both
from rig import call
from test_web_pages import Strict

from firsthand import enrolment
from firsthand.crypto import SigningKey, VerifyKey
from firsthand.errors import Failed, Locked, NotFound, Refused, Usage
from firsthand.record.card.card import Card
from firsthand.record.enrol import enrol as enrol_device
from firsthand.record.enrol import split_link
from firsthand.vault import catalog, enrol, fleet, reading
from firsthand.web.enrol import FAILURES, Patience
from firsthand.web.signed import Busy


def firsthand(data, *arguments, **extra):
    command = [sys.executable, "-m", "firsthand", "--data", str(data), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **extra
    )


def test_two_programs_enrol_a_device_and_show_the_same_fingerprint(vault, url, ana, tmp_path):
    here = os.environ | {"FIRSTHAND_VAULT_URL": url, "PYTHONUNBUFFERED": "1"}
    at_vault = firsthand(vault.settings.data, "person", "enrol-code", "ana", env=here)
    lines = iter(at_vault.stdout.readline, "")
    told = next(lines).split()
    assert told[:5] == ["on", "the", "device:", "firsthand", "device"]
    on_device = firsthand(tmp_path / "pi", *told[4:])
    shown, errors = on_device.communicate(timeout=60)
    assert on_device.returncode == 0, errors
    rest, errors = at_vault.communicate(timeout=60)
    assert at_vault.returncode == 0, errors
    words = [re.findall(r"fingerprint (\S+)", text) for text in (shown, rest)]
    assert words[0] == words[1]
    assert len(words[0]) == 1
    (folder,) = (tmp_path / "pi" / "devices").glob("*/device.json")
    assert Card(folder.parent / "card").waiting() == []
    assert not (tmp_path / "pi" / "devices" / "enrolling.key").exists()


def test_a_device_enrolled_by_a_code_records_and_carries_home(vault, url, ana, tmp_path):
    pi = tmp_path / "pi"
    offered = enrol.offer(vault, ana)
    for arguments in (
        ["device", "enrol", f"{url}#{offered.code}"],
        ["record", "start", "--camera", "lavfi:testsrc2=size=64x48:rate=4", "--seconds", "2"],
        ["record", "upload"],
    ):
        started = firsthand(pi, *arguments)
        _, errors = started.communicate(timeout=60)
        assert started.returncode == 0, errors
    with vault.db.read() as connection:
        (stored,) = catalog.of_person(connection, ana.id)
        said = [body for _, body in fleet.history(connection, stored.device)]
    # Enrolled; then, when the recording had carried itself home, an empty card.
    assert [body.get("segments_waiting") for body in said] == [None, 0]
    assert stored.record["frames"] >= 8
    assert reading.read_part(vault, stored.id, "video", "self", "test")[4:8] == b"ftyp"


@both
def test_an_enrolled_device_is_believed_by_the_vault(vault, url, ana, tmp_path):
    offered = enrol.offer(vault, ana)
    done = enrol_device(tmp_path / "devices", *split_link(f"{url}#{offered.code}"))
    assert done.device.person == ana.id
    assert done.device.receipt_key == vault.keyring.log_key().public
    assert done.device.vault_url == url
    key = done.device.key.public
    assert done.fingerprint == enrolment.fingerprint(key, done.device.receipt_key)


def test_the_card_may_lie_elsewhere_and_an_unmounted_one_is_not_recorded_onto(
    vault, url, ana, tmp_path
):
    mount = tmp_path / "mount"
    offered = enrol.offer(vault, ana)
    done = enrol_device(tmp_path / "devices", url, offered.code, mount)
    assert Card(done.device.folder / "card").id == Card(mount).id
    mount.rename(tmp_path / "pulled out")
    mount.mkdir()
    with pytest.raises(NotFound, match="not marked as a card"):
        Card(done.device.folder / "card")


def test_the_same_device_may_ask_again_after_a_lost_answer(vault, url, ana, tmp_path):
    offered = enrol.offer(vault, ana)
    folder = tmp_path / "devices"
    with pytest.raises(Failed, match="was not reached"):
        enrol_device(folder, "http://127.0.0.1:1", offered.code)
    key = (folder / "enrolling.key").read_bytes()
    assert (folder / "enrolling.key").stat().st_mode & 0o777 == 0o600
    first = enrol_device(folder, url, offered.code).device.name
    (folder / "enrolling.key").write_bytes(key)
    with pytest.raises(Locked, match=first):  # the very same device, not a second one
        enrol_device(folder, url, offered.code)


def test_a_wrong_code_keeps_nothing(vault, url, ana, tmp_path):
    with pytest.raises(Refused, match="wrong, was used, or has ended"):
        enrol_device(tmp_path / "devices", url, enrolment.new_code())
    assert list((tmp_path / "devices").glob("*/device.json")) == []


def test_a_vault_that_does_not_know_the_code_is_no_vault_of_ours(ana, vault, tmp_path, served):
    """Someone between, who answers in the vault's place with keys of their own."""

    def forge(sent):
        own = SigningKey.generate()
        given = {"device": "d-1", "person": "p-1", "recipient": "r", "receipt_key": str(own.public)}
        return enrolment.welcome(sent, b"guess", **given)

    with pytest.raises(Refused, match="not made by the vault"):
        enrol_device(tmp_path / "devices", served(forge), enrolment.new_code())
    assert list((tmp_path / "devices").glob("*/device.json")) == []


@pytest.fixture
def served():
    """Serves one function from the JSON that is posted to the JSON that answers."""
    import http.server
    import threading

    running = []

    def serve(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(answer(sent)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"hello": {}}', b'{"hello": {"v": 2, "code": "a", "key": "b"}}']
)
def test_what_is_no_hello_is_a_wrong_request(url, body):
    answer = call(url, "POST", "/api/enrol", body)
    assert answer.status == 400
    assert answer.json["title"] == "Usage"


def test_a_hello_with_odd_values_is_refused_like_any(vault, url, ana):
    offered = enrol.offer(vault, ana)
    sent = enrolment.hello(enrolment.read_code(offered.code), SigningKey.generate())
    for change in ({"nonce": 1.5}, {"nonce": "\ud800"}, {"key": "é"}, {"more": {}}):
        body = json.dumps(sent | {"hello": sent["hello"] | change}).encode()
        assert call(url, "POST", "/api/enrol", body).status == 403


def test_p3_after_too_many_failures_nobody_is_heard_for_a_minute():
    now = [0.0]
    patience = Patience(lambda: now[0])
    for _ in range(FAILURES):
        patience.require()
        patience.failed()
    with pytest.raises(Busy):
        patience.require()
    now[0] = 60.0
    patience.require()


def test_the_page_shows_a_code_once_and_the_devices_with_their_fingerprints(home):
    path = f"/people/{home.ana.id}/devices"
    shown = home.post(f"{path}/code", {}).text
    assert Strict(shown).inline == []
    assert "<svg" in shown
    (code,) = set(re.findall(r"\b(?:[0-9A-Z]{4}-){4}[0-9A-Z]{4}\b", shown))
    assert code not in home.get(path).text
    key = SigningKey.generate()
    url = home.server.url
    sent = enrolment.hello(enrolment.read_code(code), key)
    answer = call(url, "POST", "/api/enrol", json.dumps(sent).encode())
    given = enrolment.verify_welcome(answer.json, sent, enrolment.read_code(code))
    listed = home.get(path).text
    word = enrolment.fingerprint(key.public, VerifyKey.from_text(given["receipt_key"]))
    assert given["device"] in listed
    assert word in listed
    assert home.post(f"/people/{home.bo.id}/devices/{given['device']}/revoke", {}).status == 404
    assert home.post(f"{path}/{given['device']}/revoke", {}).status == 303
    assert "revoked" in home.get(path).text
    assert call(url, "GET", path).status == 401  # not without the access key


@pytest.mark.parametrize(
    ("given", "split"),
    [
        (("http://a:1#X",), ("http://a:1", "X")),
        (("http://a:1/", "X"), ("http://a:1", "X")),
        (("http://a:1#Y", "X"), ("http://a:1", "X")),
    ],
)
def test_url_and_code_come_as_one_line_or_as_two(given, split):
    assert split_link(*given) == split
    with pytest.raises(Usage, match="code is missing"):
        split_link("http://a:1")


def test_the_enrol_command_says_what_is_wrong(tmp_path):
    for arguments, told in [
        (["ftp://a", enrolment.new_code()], "is no vault URL"),
        (["http://127.0.0.1:1", "ABC"], "no enrolment code"),
        (["http://127.0.0.1:1"], "code is missing"),
        (["http://127.0.0.1:1", enrolment.new_code()], "was not reached"),
    ]:
        started = firsthand(tmp_path / "pi", "device", "enrol", *arguments)
        _, errors = started.communicate(timeout=60)
        assert started.returncode != 0
        assert told in errors


def test_a_code_that_nobody_uses_ends_the_waiting(vault, url, ana, capsys, monkeypatch):
    from firsthand.cli import person as commands

    offered = enrol.offer(vault, ana)
    monkeypatch.setattr(vault, "now_ns", lambda: offered.expires_ns)
    began = time.monotonic()
    with pytest.raises(Refused, match="in time"):
        commands._await_device(vault, offered)
    assert time.monotonic() - began < 5


def test_a_device_is_enrolled_by_its_own_camera_before_the_vaults_screen(vault, url, ana, tmp_path):
    import av
    import segno

    text, film = f"{url}#{enrol.offer(vault, ana).code}", tmp_path / "screen.mp4"
    rows = list(segno.make(text, error="m", micro=False).matrix_iter(scale=4, border=4))
    side = len(rows) + len(rows) % 2
    rgb = b"".join(
        b"".join(bytes(3) if dark else b"\xff" * 3 for dark in row).ljust(3 * side, b"\xff")
        for row in rows
    )
    with av.open(str(film), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
        frame = av.VideoFrame(side, side, "rgb24")
        line, plane = 3 * side, frame.planes[0]
        rgb = rgb.ljust(line * side, b"\xff")
        padding = bytes(plane.line_size - line)
        plane.update(b"".join(rgb[at : at + line] + padding for at in range(0, len(rgb), line)))
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    started = firsthand(tmp_path / "pi", "device", "enrol", "--scan", str(film))
    told, errors = started.communicate(timeout=60)
    assert started.returncode == 0, errors
    assert "enrolled as " in told
    assert len(list((tmp_path / "pi" / "devices").glob("*/device.json"))) == 1


def test_a_device_is_enrolled_by_a_file_that_any_computer_wrote(
    vault, url, ana, tmp_path, monkeypatch, capsys
):
    from firsthand.cli import main
    from firsthand.record import invitation

    monkeypatch.setattr(invitation, "BOOT", (tmp_path / "none", tmp_path))
    (tmp_path / invitation.FILE).write_text(f"{url}#{enrol.offer(vault, ana).code}\r\n")
    assert main(["--data", str(tmp_path / "pi"), "device", "enrol", "--wait"]) == 0
    assert "enrolled as " in capsys.readouterr().out


def test_links_lead_to_the_port_at_which_the_server_runs(tmp_path, capsys, monkeypatch):
    """Printed by another command than the one that serves, and without a setting."""
    from firsthand import config
    from firsthand.cli import main
    from firsthand.vault.vault import Vault
    from firsthand.web.server import Server

    data = tmp_path / "data"
    assert main(["--data", str(data), "person", "add", "ana"]) == 0
    opened = Vault(config.load(data, {}))
    with Server(opened, "127.0.0.1", 0).background() as running:
        capsys.readouterr()
        for command in (
            ["person", "enrol-code", "ana", "--no-wait", "--json"],
            ["access", "give", "office", "--role", "organisation"],
            ["bystander", "code", "ana"],
        ):
            assert main(["--data", str(data), *command]) == 0
            assert f"{running.url}" in capsys.readouterr().out
    opened.close()


def test_on_a_device_status_reads_and_makes_no_vault(vault, url, ana, tmp_path, capsys):
    from firsthand.cli import main

    pi = tmp_path / "pi"
    link = f"{url}#{enrol.offer(vault, ana).code}"
    assert main(["--data", str(pi), "device", "enrol", link]) == 0
    before = sorted(pi.rglob("*"))
    capsys.readouterr()
    assert main(["--data", str(pi), "status", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["here"]
    assert (told["person"], told["waiting"], told["vault"]) == (ana.id, 0, url)
    assert main(["--data", str(pi), "status"]) == 0
    assert told["device"] in capsys.readouterr().out
    for command in (
        ["person", "list"],
        ["consent", "list", "ana"],
        ["vault", "check"],
        ["vault", "recover"],
        ["audit", "verify"],
        ["serve", "--host", "256.0.0.1"],  # if it came so far, it would not begin to serve
    ):
        assert main(["--data", str(pi), *command]) == 10, command
        assert "holds no vault" in capsys.readouterr().err
    assert sorted(pi.rglob("*")) == before
