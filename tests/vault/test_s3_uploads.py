"""What only a real store can show: its URLs, and what a device meets at them."""

import base64
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from backends import send_part

from firsthand import config
from firsthand.errors import Damaged, Error, Failed, NotFound, Refused
from firsthand.simulate.link import BreakingLink
from firsthand.vault import catalog, ingest
from firsthand.vault.ingest import opening, uploads
from firsthand.vault.store import S3Store, open_store
from firsthand.vault.vault import Vault
from firsthand.web.ingest import _open


@pytest.fixture
def backend(servers) -> Iterator[dict[str, str]]:
    """A bucket of Ceph and PostgreSQL."""
    with servers.fresh() as settings:
        yield settings


@pytest.fixture
def store(vault: Vault) -> S3Store:
    assert isinstance(vault.store, S3Store)
    return vault.store


def md5_of(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def test_parts_go_to_the_store_itself_and_not_through_the_vault(vault, device, servers):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    assert part["url"].startswith(servers.s3["s3_endpoint"])
    with pytest.raises((Refused, NotFound)):
        ingest.put_part(vault, upload, 1, 2**40, "0" * 64, made.sealed, "")


def test_a_part_url_is_for_one_part_of_one_upload_and_one_size(vault, device, monkeypatch):
    monkeypatch.setattr(opening, "PART_SIZE", 1000)
    made = device.seal({"video": bytes(2900)})
    upload = device.open(made)["upload"]
    _, parts = ingest.missing_parts(vault, upload, device.id)
    first = parts[0]["url"]
    key = urlsplit(first).path
    data = made.sealed[:1000]
    for wrong in (
        first.replace("partNumber=1", "partNumber=2"),
        first.replace(key, key[:-1] + ("0" if key[-1] != "0" else "1")),
        re.sub("uploadId=[^&]*", "uploadId=2~x", first),
        first.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200"),
        first[:-1] + ("0" if first[-1] != "0" else "1"),
        first.replace("content-length%3Bhost", "host"),
    ):
        assert wrong != first
        with pytest.raises(Refused):
            send_part(vault, upload, {"url": wrong, "number": 1}, data)
    for other in (data + b"x", data[:-1]):
        with pytest.raises(Refused):
            send_part(vault, upload, parts[0], other)
    send_part(vault, upload, parts[0], data)
    have, need = ingest.missing_parts(vault, upload, device.id)
    assert ([p["number"] for p in have], [p["number"] for p in need]) == ([1], [2, 3])


def test_a_part_url_with_an_md5_takes_no_other_bytes(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    md5 = md5_of(made.sealed)
    _, (part,) = ingest.missing_parts(vault, upload, device.id, {1: md5})
    other = bytes(len(made.sealed))
    for data, told in ((other, md5_of(other)), (other, ""), (made.sealed, "")):
        with pytest.raises(Refused):
            send_part(vault, upload, part, data, told)
    with pytest.raises(Damaged):
        send_part(vault, upload, part, other, md5)
    send_part(vault, upload, part, made.sealed, md5)
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"


def test_md5s_count_for_parts_of_their_size_alone(vault, device, monkeypatch):
    monkeypatch.setattr(opening, "PART_SIZE", 1000)
    made = device.seal({"video": bytes(2900)})

    def ask(size: int) -> dict:
        cut = [made.sealed[at : at + size] for at in range(0, len(made.sealed), size)]
        asked = {"envelope": made.envelope, "headers": made.headers, "part_size": size}
        body = json.dumps(asked | {"md5": [md5_of(data) for data in cut]}).encode()
        return _open(vault, device.enrolled, body)

    def send(answer: dict, count: int) -> None:
        for part in answer["parts"][:count]:
            data = made.sealed[(part["number"] - 1) * 1000 :][: part["size"]]
            send_part(vault, answer["upload"], part, data, md5_of(data))

    first = ask(1000)
    assert all("content-md5" in part["url"] for part in first["parts"])
    send(first, 1)
    later = ask(1500)  # by then its link is better, and the upload is cut already
    assert (later["part_size"], len(later["parts"])) == (1000, 2)
    send(later, 2)
    assert ingest.complete(vault, first["upload"], device.id)["receipt"]["kind"] == "stored"


def test_a_part_url_ends(vault, device, store):
    made = device.seal()
    upload = device.open(made)["upload"]
    with vault.db.read() as connection:
        (row,) = connection.execute(catalog.uploads.select()).all()
    old = replace(store._bucket, now_s=lambda: time.time() - ingest.URL_LIFETIME_S - 1)
    size = len(made.sealed)
    key = store._prefix + row.object
    url = old.part_url(key, row.multipart, 1, size, "", ingest.URL_LIFETIME_S)
    with pytest.raises(Refused):
        send_part(vault, upload, {"url": url, "number": 1}, made.sealed)
    url = old.part_url(key, row.multipart, 1, size, "", ingest.URL_LIFETIME_S + 60)
    send_part(vault, upload, {"url": url, "number": 1}, made.sealed)


def test_an_aborted_upload_takes_no_part_any_more(vault, device):
    made = device.seal()
    upload = device.open(made)["upload"]
    _, (part,) = ingest.missing_parts(vault, upload, device.id)
    ingest.abort(vault, upload, device.id)
    with pytest.raises(NotFound):
        send_part(vault, upload, part, made.sealed)


def test_a_lost_answer_to_the_completion_loses_nothing(vault, device, store, monkeypatch):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    finish = store.finish

    def lost(key: str, multipart: str) -> None:
        finish(key, multipart)
        raise Damaged("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(store, "finish", lost)
        patch.setattr(uploads, "renew", lambda *_: None)
        with pytest.raises(Damaged):
            ingest.complete(vault, upload, device.id)
    assert ingest.missing_parts(vault, upload, device.id)[1] == []
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"


def test_no_answer_of_the_vault_holds_the_stores_secret(vault, device, servers):
    made = device.seal()
    opened = device.open(made)
    told = json.dumps([opened, ingest.missing_parts(vault, opened["upload"], device.id)])
    assert servers.s3["s3_secret_key"] not in told + repr(vault.store.__dict__) + repr(
        vault.settings
    )


@pytest.mark.parametrize("wrong", ["s3_secret_key", "s3_access_key"])
def test_a_wrong_key_is_named_as_such(servers, wrong, tmp_path):
    with servers.fresh() as settings:
        store = open_store(config.load(tmp_path, {}, **(settings | {wrong: "x" * 20})))
        with pytest.raises(Error, match=r"InvalidAccessKeyId|SignatureDoesNotMatch"):
            store.begin("segments/x")
        with pytest.raises(Error):
            store.put("segments/x", b"x")


@pytest.mark.fault("S3")
@pytest.mark.parametrize("at", [0, 1, 600, 100_000, 1_999_000])
def test_s3_an_object_put_over_a_line_that_breaks_is_whole_or_an_error(
    servers, tmp_path, tally, at
):
    data = os.urandom(2_000_000)
    with servers.fresh() as settings:
        port = urlsplit(settings["s3_endpoint"]).port
        direct = open_store(config.load(tmp_path, {}, **settings))
        with BreakingLink(port or 0, [at]) as link:
            broken = settings | {"s3_endpoint": f"http://127.0.0.1:{link.port}"}
            store = open_store(config.load(tmp_path, {}, **broken))
            with suppress(Failed):
                store.put("segments/x", data)
                assert direct.size("segments/x") == len(data)
            assert link.breaks == 1
        if direct.size("segments/x") is not None:
            assert b"".join(direct.chunks("segments/x")) == data
    tally.add()


def test_an_upload_that_another_completes_meanwhile_lacks_nothing(
    vault, device, store, monkeypatch
):
    made = device.seal()
    upload = device.open(made)["upload"]
    device.put(made, upload)
    parts, waiting = store.parts, [True]

    def slow(key: str, multipart: str) -> dict[int, int]:
        if waiting.pop() if waiting else False:
            store.finish(key, multipart)  # just before we look for its parts
        return parts(key, multipart)

    monkeypatch.setattr(store, "parts", slow)
    assert ingest.missing_parts(vault, upload, device.id)[1] == []
    assert ingest.complete(vault, upload, device.id)["receipt"]["kind"] == "stored"
