"""The log's checkpoint, tiles and proofs over a real server."""

import json

import pytest
from rig import call

from firsthand import auditor, tiles, tlog

KEY = "the-access-key"


def get(server, path: str, key: str = ""):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return call(server.url, "GET", path, None, headers)


def test_checkpoint_and_hashes_stand_open_and_prove_an_entry(vault, server, ana):
    note = get(server, "/checkpoint")
    assert note.headers["content-type"] == "text/plain; charset=utf-8"
    key = vault.keyring.log_key().public
    checkpoint = tlog.open_checkpoint(note.text, tlog.log_name(key), key)

    def fetch(path: str) -> bytes:
        answer = get(server, f"/{path}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert "immutable" in answer.headers["cache-control"]
        return answer.body

    read = tiles.reader(checkpoint.size, fetch)
    assert tlog.root(checkpoint.size, read) == checkpoint.root


def test_entries_ask_for_the_access_key_however_the_path_is_written(vault, server, ana):
    size = int(get(server, "/checkpoint").text.split("\n")[1])
    path = f"/tile/entries/000.p/{size}"
    for way in (path, path.replace("entries", "%65ntries"), path.replace("/e", "%2Fe")):
        assert get(server, way).status in (401, 404), way
    assert get(server, "/tile//entries/000").status == 404
    bundle = get(server, path, KEY)
    assert bundle.status == 200
    assert len(tiles.open_bundle(bundle.body)) == size
    assert "no-store" in bundle.headers["cache-control"]


@pytest.mark.parametrize("path", ["0/000.p/99", "0/001", "64/000", "0/x", "1/000.p/1"])
def test_a_tile_that_the_log_has_not_got_is_not_found(server, ana, path):
    assert get(server, f"/tile/{path}").status == 404


def test_the_page_of_a_person_leads_to_proofs_of_what_was_done(vault, server, ana):
    page = get(server, f"/people/{ana.id}", KEY).text
    at = page.index(f"/people/{ana.id}/proofs/")
    path = page[at:].split('"')[0]
    assert get(server, path).status == 401
    proof = get(server, path, KEY)
    assert "attachment" in proof.headers["content-disposition"]
    told = auditor.check_proof(json.loads(proof.text), str(vault.keyring.log_key().public))
    assert told["personal"]["person"] == ana.id
    other = vault.add_person("another")
    index = path.rpartition("/")[2]
    assert get(server, f"/people/{other.id}/proofs/{index}", KEY).status == 404
