"""The vault's log held against all that was ever said of it, in the vault and elsewhere.

In the vault: receipts, manifests, what devices wrote into their records, the rows that name an
entry, the store's copy. Elsewhere: checkpoints, receipts and manifests that somebody kept.
"""

import json
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import forgetting, log, tiles, tlog
from firsthand.consent import people, tables
from firsthand.consent.liability import tables as liability
from firsthand.crypto import VerifyKey
from firsthand.errors import Damaged, Error, Failed, NotFound
from firsthand.monitor import BrokenLog, Monitor, Seen, merged
from firsthand.segment import RECEIPT_CONTEXT, Record, verify_body
from firsthand.shard import MANIFEST_CONTEXT
from firsthand.vault import catalog, journal
from firsthand.vault.vault import Vault

# What the log's key signs with an index and a root in it: the envelope's name and its context.
SIGNED = {"receipt": RECEIPT_CONTEXT, "forgotten": forgetting.RECEIPT_CONTEXT}
LONGEST = 64 << 20  # bytes read of a file or an answer that should hold checkpoints
Fetch = Callable[[str], bytes]


@dataclass(frozen=True)
class Audited:
    """A log that holds against everything: its size and root, what was compared, the checkpoint."""

    size: int
    root: str
    checkpoint: str
    openings: int
    inside: int
    kept: int


def verify(vault: Vault, kept: Iterable[Seen] = (), inside: Iterable[Seen] = ()) -> Audited:
    """Recomputes the log and compares all that was said of it; BrokenLog says what is wrong.

    `kept` are statements from elsewhere, `inside` such that lie in the vault beyond this room.
    """
    outer = list(kept)
    with vault.db.read() as connection:
        number = max(0, log.size(connection) - 1) // journal.TILE
    copied = journal.newest_tile(vault.store, number)  # before the database: it is written after
    with vault.db.read() as connection:
        inner = [*inside, *_inside(vault, connection)]
        if copied is not None:
            inner.append(Seen(copied[1], None, "the store's copy of the log", False))
        try:
            size = log.verify(connection, Monitor(), merged([*inner, *outer]))
        except BrokenLog as error:
            raise _located(vault, connection, error) from error
        salts = {each.id: each.salt for each in people.listed(connection) if each.salt is not None}
        openings = log.verify_openings(connection, salts)
        top = log.root(connection)
    note = tlog.Checkpoint(vault.origin, size, top).sign(vault.keyring.log_key())
    return Audited(size, top.hex(), note, openings, len(inner), len(outer))


def _located(vault: Vault, connection: Connection, error: BrokenLog) -> BrokenLog:
    """The same fault with its very entry, if the store's copy of the log knows it."""
    if error.kind not in ("edit", "fork") or error.stop - error.first < 2:
        return error
    column = log.entries.c
    held = connection.execute(
        sa.select(column.index, column.entry).where(column.index.between(error.first, error.stop))
    )
    known = {row[0]: row[1] for row in held}
    with suppress(Error, ValueError):
        for index, entry, _ in journal.read_log(vault.store, error.first):
            if index < error.stop and known.get(index) != entry:
                words = f"{error.message.partition(': ')[2]}; the store's copy differs first in"
                return BrokenLog(error.kind, index, index + 1, f"{words} entry {index}")
    return error


def read_kept(source: str, key: VerifyKey, fetch: Fetch | None = None) -> list[Seen]:
    """What a file, a folder of such, or a URL says of the log that this key signs.

    Checkpoints one after another, or JSON or JSON lines with receipts and manifests. Damaged if it
    holds nothing by this key, or something that is not.
    """
    path = Path(source)
    if source.startswith(("http://", "https://")):
        texts = {source: (fetch or _get)(_checkpoint_url(source))}
    elif path.is_dir():
        texts = {str(each): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}
    elif path.exists():
        texts = {source: path.read_bytes()}
    else:
        raise NotFound(f"there is no {source}", "give a file, a folder or a URL of checkpoints")
    found = [seen for where, data in texts.items() for seen in _statements(where, data, key)]
    if not found:
        raise Damaged(f"{source} holds no checkpoint, receipt or manifest by this log's key")
    return found


def _checkpoint_url(url: str) -> str:
    return url if url.endswith("/checkpoint") else url.rstrip("/") + "/checkpoint"


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read(LONGEST)
    except (OSError, ValueError) as error:
        raise Failed(f"{url} does not answer: {error}", "check the address") from error


def _statements(where: str, data: bytes, key: VerifyKey) -> Iterator[Seen]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    if not text.lstrip().startswith(("{", "[")):
        origin = tlog.log_name(key)
        for note in tiles.notes(text):
            if note.startswith(f"{origin}\n"):
                yield _of_note(where, note, key)
        return
    for value in _json_values(text):
        for name, envelope in _envelopes(value):
            seen = _of_envelope(where, name, envelope, key)
            if seen is not None:
                yield seen


def _json_values(text: str) -> Iterator[Any]:
    with suppress(ValueError):
        yield json.loads(text)
        return
    for line in text.splitlines():
        with suppress(ValueError):
            yield json.loads(line)


def _envelopes(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, envelope) of everything in a JSON value that has the shape of a signed body."""
    if isinstance(value, dict):
        for name in (*SIGNED, "manifest"):
            if isinstance(value.get(name), dict) and "signature" in value:
                yield name, value
                return
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from _envelopes(inner)


def _of_note(where: str, note: str, key: VerifyKey) -> Seen:
    checkpoint = tlog.open_checkpoint(note, tlog.log_name(key), key)
    label = f"a checkpoint in {where}"
    return Seen(checkpoint.size, checkpoint.root, label, False, lambda: None)


def _of_envelope(where: str, name: str, envelope: dict[str, Any], key: VerifyKey) -> Seen | None:
    if name == "manifest":
        if envelope.get("key") != str(key):
            return None
        body = verify_body(name, envelope, key, MANIFEST_CONTEXT)
        checkpoint = tlog.open_checkpoint(body["checkpoint"], tlog.log_name(key), key)
        label = f"the manifest in {where}"
        return Seen(checkpoint.size, checkpoint.root, label, False, lambda: None)
    body = verify_body(name, envelope, key, SIGNED[name])
    label = f"a receipt in {where}"
    top = bytes.fromhex(body["log_root"])
    return Seen(body["log_index"] + 1, top, label, False, lambda: None)


def _inside(vault: Vault, connection: Connection) -> Iterator[Seen]:
    """Everything in the database that speaks of the log."""
    key = vault.keyring.log_key().public
    columns = ("id", "device", "seq", "record", "record_hash", "receipt")
    query = sa.select(*(catalog.segments.c[name] for name in columns))
    for row in connection.execute(query):
        yield _of_receipt(f"the receipt of segment {row.id}", "receipt", row.receipt, key)
        size, _, root = row.record.get("checkpoint", "").partition(" ")
        if root and Record.from_json(row.record).hash() == row.record_hash:
            where = f"record {row.seq} of device {row.device}"
            yield Seen(int(size) + 1, bytes.fromhex(root), where, True)
    for row in connection.execute(sa.select(catalog.forgettings)):
        name = "forgotten" if "forgotten" in row.receipt else "receipt"
        yield _of_receipt(f"the receipt of forgetting {row.id}", name, row.receipt, key)
    said = [tables.consents, tables.runs, tables.ballots, tables.withholds, tables.erasures]
    for table in (*said, liability.agreements, liability.freed, liability.incidents):
        last = connection.scalar(sa.select(sa.func.max(table.c.log_index)))
        if last is not None:
            yield Seen(last + 1, None, f"a row of {table.name}", True)


def _of_receipt(where: str, name: str, envelope: dict[str, Any], key: VerifyKey) -> Seen:
    body = envelope[name]
    return Seen(
        body["log_index"] + 1,
        bytes.fromhex(body["log_root"]),
        where,
        True,
        lambda: verify_body(name, envelope, key, SIGNED[name]),
    )
