"""The documents against the program: links, commands, settings, exit codes, tests, test vectors.

`python tests/test_docs.py` writes the vectors of docs/format.md anew, all but the age header, which
no two sealings make alike.
"""

import base64
import hashlib
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from firsthand import age, errors, httpsig, log, tlog
from firsthand.cli.nouns import EXITS, NOUNS
from firsthand.config import Settings
from firsthand.crypto import SigningKey, canonical, stream_seal
from firsthand.db import Database
from firsthand.segment import (
    Part,
    Receipt,
    Record,
    pack_events,
    pack_motion,
    sign_receipt,
    sign_record,
    verify_record,
)
from firsthand.shard import Sample, make_grant, open_shard, pack_shard, sign_manifest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
COMMANDS = (DOCS / "commands.md").read_text(encoding="utf-8")
FORMAT = DOCS / "format.md"
# Machine paths and the words of how this was made have no place in the documents.
FORBIDDEN = re.compile(r"(?<![\w.:/])/(work|home|root|tmp)\b|\bTODO\b|\bFIXME\b|\bissue #?\d", re.I)


def words(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    for link, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", words(page)):
        if "://" in link:
            continue
        target = page.parent / link if link else page
        assert target.exists(), link
        if anchor:
            heads = re.findall(r"^#+ (.*)$", words(target), re.M)
            slugs = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]
            assert anchor in slugs, f"{link}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_a_page_names_exists(page):
    text = re.sub(r"\s+", " ", words(page))
    named = re.findall(r'[`"$] ?(?:\.venv/bin/)?firsthand ([a-z]+)(?: ([a-z][a-z-]+))?', text)
    for noun, verb in named:
        assert noun in NOUNS
        assert find_spec(f"firsthand.cli.{noun}"), noun
        has_verbs = f"firsthand {noun} [OPTIONS] COMMAND" in COMMANDS
        assert not (verb and has_verbs) or f"#### firsthand {noun} {verb}\n" in COMMANDS, verb


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_a_page_names_exists(page):
    targets = re.findall(r"^([a-z]+):", words(ROOT / "Makefile"), re.M)
    for target in re.findall(r"[`$] ?make ([a-z]+)", words(page)):
        assert target in targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_speaks_of_the_machine_it_was_written_on(page):
    assert not FORBIDDEN.search(words(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_a_page_names_exists(page):
    for path, name in re.findall(r"`(tests/[\w/.]*)(?:::(\w+))?`", words(page)):
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in words(ROOT / path), f"{path}::{name}"


def test_every_setting_is_documented():
    text = words(DOCS / "operate.md")
    for field in fields(Settings):
        assert f"| `{field.name}` | `FIRSTHAND_{field.name.upper()}` |" in text


def test_every_exit_code_is_documented():
    text = words(DOCS / "operate.md")
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    for code in {*EXITS, *(each.exit_code for each in classes if hasattr(each, "exit_code"))}:
        assert f"| {code} |" in text


def test_every_kind_of_log_entry_is_documented():
    sources = [words(path) for path in (ROOT / "firsthand").rglob("*.py")]
    kinds = {
        kind
        for text in sources
        for kind in re.findall(r'(?:append|note)\(\s*connection,\s*"([a-z_]+)"', text)
    }
    assert len(kinds) > 10
    for kind in kinds:
        assert f"`{kind}`" in words(FORMAT), kind


# --- vectors: what stands in docs/format.md is computed again, from the keys named there


def seed(first: int, size: int = 32) -> bytes:
    """Bytes that count up from `first`: the fixed keys of the vectors."""
    return bytes(range(first, first + size))


S, L = SigningKey.from_bytes(seed(0x00)), SigningKey.from_bytes(seed(0x20))
INGEST = age.Identity(seed(0x40))
SALT, X, F, NONCE = seed(0x60), seed(0x80), seed(0xA0, 16), seed(0xB0, 16)
SECOND_NS = 10**9
NOW_S = 1_767_600_000  # 2026-01-05 08:00:00 UTC
EVENTS = [
    {
        "start_ns": 6 * SECOND_NS,
        "stop_ns": 8 * SECOND_NS + 1,
        "fields": {"noun": "cup", "verb": "take"},
    }
]
MOTION = [(5 * SECOND_NS, 0.5, 0.0, -0.25, 0.0, 9.75, 0.125)]


def block(name: str) -> str:
    """What stands in the document under this vector's mark."""
    found = re.search(rf"<!-- vector: {name} -->\n```\w+\n(.*?)\n```", words(FORMAT), re.S)
    assert found, name
    return found[1]


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True)


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=salt, info=info).derive(secret)


def header() -> bytes:
    return base64.b64decode(block("age header").replace("\n", ""))


def payload() -> bytes:
    return NONCE + stream_seal(hkdf(F, NONCE, b"payload"), pack_events(EVENTS))


def record() -> Record:
    digest = hashlib.sha256(payload()).hexdigest()
    part = Part(
        name="events",
        size_bytes=len(payload()),
        payload_sha256=digest,
        header_sha256=hashlib.sha256(header()).hexdigest(),
        header_size=len(header()),
    )
    return Record(
        device="d-00000001",
        person="p-00000001",
        session="0123456789abcdef",
        seq=7,
        prev=hashlib.sha256(b"the record before").hexdigest(),
        kind="segment",
        boot_ns_start=5 * SECOND_NS,
        boot_ns_end=65 * SECOND_NS,
        wall_ns_start=NOW_S * SECOND_NS,
        wall_ns_end=(NOW_S + 60) * SECOND_NS,
        wall_quality="ntp",
        parts=(part,),
        object_sha256=digest,
        object_size=len(payload()),
        frames=480,
        longest_gap_ns=125_000_000,
        media={"fps_milli": 8000, "height": 120, "width": 160},
        recipient=INGEST.recipient.key_id,
    )


def logged() -> tuple[list[bytes], str, str]:
    """(two entries, the opening of the second, the checkpoint), by the log itself."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/log.db")
        with database.write() as connection:
            log.append(connection, "erasure_done", NOW_S * SECOND_NS, order="e-00000001", scope="x")
            private = {"segment": "s-0000000000000001"}
            log.append(
                connection,
                "segment_stored",
                (NOW_S + 1) * SECOND_NS,
                person="p-00000001",
                salt=SALT,
                private=private,
                record=record().hash(),
            )
            rows = connection.execute(log.entries.select()).all()
            top = log.root(connection)
        database.close()
    note = tlog.Checkpoint("firsthand/0123456789abcdef", 2, top).sign(L)
    return [row.entry for row in rows], rows[1].opening.decode(), note


def sample() -> Sample:
    meta = {"fps": 4, "gap_before": "start", "has_events": True, "has_motion": True}
    meta |= {"has_sound": False, "height": 48, "pictures": 40, "width": 64}
    times = NOW_S * SECOND_NS, (NOW_S + 10) * SECOND_NS
    files = {
        "clip.mp4": b"an MP4 of 4 pictures a second",
        "events.json": canonical(EVENTS),
        "meta.json": canonical(meta),
        "motion.bin": pack_motion(MOTION),
    }
    return Sample("w00000001", "2026-01-05-0000", *times, files)


def shard() -> bytes:
    return pack_shard([sample()], X, "l-00000001")


def manifest() -> dict[str, Any]:
    entry = {"id": sample().id, "start_ns": sample().start_ns, "stop_ns": sample().stop_ns}
    entry |= {"record": record().hash(), "consents": ["c-00000001"], "sound": False}
    file = {"file": "w00000001.2026-01-05.0123456789ab.shard", "samples": [entry]}
    file |= {"sha256": hashlib.sha256(shard()).hexdigest(), "size_bytes": len(shard())}
    return {
        "v": 1,
        "release": "l-00000001",
        "run": "r-00000001",
        "proposal_sha256": hashlib.sha256(b"the proposal").hexdigest(),
        "permissions": ["fh:train-person-model"],
        "log_index": 2,
        "checkpoint": logged()[2],
        "scrubber": {
            "name": "coarse",
            "version": 1,
            "labelled_faces": 0,
            "hidden_faces": 0,
            "statement": "...",
        },
        "people": [{"person": "w00000001", "shards": [file]}],
    }


def keys_text() -> str:
    lines = [f"S   {S.raw.hex()}  {S.public}", f"L   {L.raw.hex()}  {L.public}"]
    lines += [f"I   {INGEST.secret.hex()}  key id {INGEST.recipient.key_id}", f"X   {X.hex()}"]
    return "\n".join([*lines, f"F   {F.hex()}", f"salt {SALT.hex()}"])


def record_text() -> str:
    return pretty(sign_record(record(), S))


def receipt_text() -> str:
    said = Receipt(
        kind="stored",
        record_hash=record().hash(),
        device="d-00000001",
        session="0123456789abcdef",
        seq=7,
        object_sha256=record().object_sha256,
        object_size=record().object_size,
        log_index=1,
        log_root=hashlib.sha256(b"the log").hexdigest(),
        time_ns=(NOW_S + 70) * SECOND_NS,
    )
    return pretty(sign_receipt(said, L))


def request_text() -> str:
    body = b'{"envelope":{},"headers":{}}'
    signed = httpsig.sign_request(
        S, "d-00000001", "POST", "/api/uploads", body, NOW_S, "AAECAwQFBgcICQoL"
    )
    lines = ["POST /api/uploads", *(f"{name}: {value}" for name, value in signed.items())]
    return "\n".join([*lines, "", body.decode()])


def log_text() -> str:
    entries, opening, note = logged()
    lines = [
        f"entry 0     {entries[0].decode()}",
        f"leaf 0      {tlog.leaf_hash(entries[0]).hex()}",
    ]
    lines += [f"opening 1   {opening}", f"entry 1     {entries[1].decode()}"]
    lines += [f"leaf 1      {tlog.leaf_hash(entries[1]).hex()}", "checkpoint:", note.rstrip()]
    return "\n".join(lines)


def shard_text() -> str:
    head = shard().split(b"\n")[0]
    named = json.loads(head)
    info = canonical({name: named[name] for name in ("format", "release", "person")})
    key = hkdf(X, bytes.fromhex(named["plain_sha256"]), info)
    lines = [f"first line   {head.decode()}", f"info         {info.decode()}"]
    lines += [f"key          {key.hex()}", f"shard        {len(shard())} bytes, SHA-256"]
    return "\n".join([*lines, f"             {hashlib.sha256(shard()).hexdigest()}"])


def grant_text() -> str:
    keys = {"w00000001": X}
    return pretty(
        make_grant("l-00000001", keys, L, who="researcher", issued_s=NOW_S, lifetime_s=3600)
    )


VECTORS: dict[str, Callable[[], str]] = {
    "keys": keys_text,
    "canonical": lambda: canonical({"b": [1, True, None], "a": "ü", "A": -(2**63)}).decode(),
    "motion": lambda: pack_motion(MOTION).hex(),
    "events": lambda: pack_events(EVENTS).decode().rstrip("\n"),
    "payload": lambda: payload().hex(),
    "record": record_text,
    "record hash": lambda: record().hash(),
    "receipt": receipt_text,
    "request": request_text,
    "log": log_text,
    "shard": shard_text,
    "manifest": lambda: pretty(sign_manifest(manifest(), L)),
    "grant": grant_text,
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_is_what_the_program_computes(name):
    assert VECTORS[name]() == block(name)


def test_the_document_has_no_vector_that_nothing_checks():
    marks = re.findall(r"<!-- vector: (.*?) -->", words(FORMAT))
    assert sorted(marks) == sorted([*VECTORS, "age header"])


def test_header_and_payload_of_the_vectors_are_an_age_file():
    assert age.open_header(header(), [INGEST]) == F
    assert age.decrypt(header() + payload(), [INGEST]) == pack_events(EVENTS)


def test_the_vectors_pass_the_readers():
    assert verify_record(json.loads(block("record")), S.public) == record()
    assert [vars(found) for found in open_shard(shard(), X)] == [vars(sample())]


def test_every_field_of_record_and_receipt_is_explained():
    for kind in (Part, Record, Receipt):
        for field in fields(kind):
            assert f"`{field.name}`" in words(FORMAT), field.name
    assert asdict(record())["v"] == 1


def write() -> None:
    """Puts the vectors as they are computed now into the document."""
    text = words(FORMAT)
    if "HEADER" in block("age header"):
        made = base64.b64encode(age.seal_header(F, [INGEST.recipient])).decode()
        lines = "\n".join(made[at : at + 96] for at in range(0, len(made), 96))
        text = text.replace("HEADER", lines)
        FORMAT.write_text(text, encoding="utf-8")
    for name, compute in VECTORS.items():
        mark = re.compile(rf"(<!-- vector: {name} -->\n```\w+\n).*?(\n```)", re.S)
        body = compute()
        text = mark.sub(lambda found, body=body: found[1] + body + found[2], text)  # type: ignore[misc]
    FORMAT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
