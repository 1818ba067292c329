"""Ingest: a signed record and its sealed bytes become a stored segment with a signed receipt.

Verified, durable, logged, receipted, in this order, and idempotent. The bytes travel by the
multipart protocol of web/ingest.py; nothing here knows HTTP.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from firsthand import age, log
from firsthand.consent import erasure, people
from firsthand.crypto import wrap
from firsthand.errors import Damaged, Error, NotFound, Refused, Usage
from firsthand.segment import Receipt, Record, sign_receipt, verify_record
from firsthand.vault import catalog
from firsthand.vault.catalog import StoredPart, uploads
from firsthand.vault.vault import Vault, file_key_aad

# S3's least part size; a broken link costs at most one part.
PART_SIZE = 5 << 20
MAX_OBJECT = 2 << 30
URL_LIFETIME_S = 3600


def open_upload(
    vault: Vault, device: people.Device, envelope: dict[str, Any], headers: dict[str, str]
) -> dict[str, Any]:
    """Begins, or finds again, the upload of a signed record.

    Returns {"receipt"} if nothing is left to send, else {"upload", "part_size"}. Damaged, Refused
    or Usage if the record is not this device's, forks its chain, or lacks its headers.
    """
    record = verify_record(envelope, device.key)
    if (record.device, record.person) != (device.id, device.person):
        raise Refused(f"record {record.seq} is not by device {device.id} of its person")
    if record.object_size > MAX_OBJECT:
        raise Usage(f"record {record.seq} names {record.object_size} bytes, too many")
    digest = record.hash()
    with vault.db.write() as connection:
        held = _held(vault, connection, record, digest)
        if held is not None:
            return {"receipt": held}
        refusal = _refusal(vault, connection, record, digest)
        if refusal is not None:
            return {"receipt": refusal}
        if record.object_size == 0:
            return {"receipt": _store(vault, connection, record, digest, "", {})}
        upload = f"{record.seq}-{digest}"
        known = connection.execute(sa.select(uploads).where(uploads.c.id == upload)).first()
        if known is not None:
            return {"upload": known.id, "part_size": known.part_size}
        _open_headers(vault, record, headers)  # else its bytes would travel in vain
        connection.execute(
            uploads.insert().values(
                id=upload,
                device=device.id,
                envelope=envelope,
                headers={part.name: headers[part.name] for part in record.parts},
                size_bytes=record.object_size,
                part_size=PART_SIZE,
                opened_ns=vault.now_ns(),
            )
        )
    return {"upload": upload, "part_size": PART_SIZE}


def missing_parts(vault: Vault, upload: str, device: str) -> tuple[list[dict], list[dict]]:
    """(parts held, parts to send): each {"number", "size"}, the latter with a signed "url" path."""
    row = _upload(vault, upload, device)
    have, need = [], []
    for number, size in _parts(row.size_bytes, row.part_size):
        held = vault.store.size(_part_key(upload, number)) == size
        part = {"number": number, "size": size}
        if held:
            have.append(part)
        else:
            need.append(part | {"url": _part_url(vault, upload, number)})
    return have, need


def check_url(vault: Vault, upload: str, number: int, expires_s: int, mac: str) -> None:
    """Refused unless this vault gave out this part URL and it has not ended."""
    if not hmac.compare_digest(mac.encode(), _mac(vault, upload, number, expires_s).encode()):
        raise Refused("this part URL was not given out by this vault")
    if vault.now_ns() / 1e9 > expires_s:
        raise Refused("this part URL has ended", "ask for the upload again to get a new one")


def put_part(
    vault: Vault, upload: str, number: int, expires_s: int, mac: str, data: bytes, md5: str
) -> str:
    """Keeps one part and returns its ETag; Refused (URL wrong or old) or Damaged (wrong bytes)."""
    check_url(vault, upload, number, expires_s, mac)
    row = _upload(vault, upload)
    size = dict(_parts(row.size_bytes, row.part_size)).get(number)
    if size != len(data):
        raise Damaged(f"part {number} has {len(data)} bytes, {size} belong there")
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    if md5 and md5 != base64.b64encode(digest).decode():
        raise Damaged(f"part {number} changed on its way", "send it again")
    key = _part_key(upload, number)
    vault.store.delete(key)
    vault.store.put(key, data)
    return f'"{digest.hex()}"'


def complete(vault: Vault, upload: str, device: str) -> dict[str, Any]:
    """Joins the parts, reads the object back, verifies it, and returns the signed receipt.

    Completing again, or twice at once, gives the same receipt and one object.
    """
    try:
        return _complete(vault, upload, device)
    except Error:
        receipt = _finished(vault, upload, device)
        if receipt is None:
            raise
        return receipt


def _complete(vault: Vault, upload: str, device: str) -> dict[str, Any]:
    row = _upload(vault, upload, device)
    with vault.db.read() as connection:
        enrolled = people.find_device(connection, device)
    record = verify_record(row.envelope, enrolled.key)
    numbers = [number for number, _ in _parts(row.size_bytes, row.part_size)]
    _, need = missing_parts(vault, upload, device)
    if need:
        raise Damaged(
            f"upload {upload} lacks {len(need)} of {len(numbers)} parts", "send them, then complete"
        )
    digest = record.hash()
    key = f"segments/{secrets.token_hex(16)}"
    try:
        file_keys = _join(vault, key, upload, numbers, record, row.headers)
        with vault.db.write() as connection:
            receipt = _held(vault, connection, record, digest)
            if receipt is None:
                receipt = _refusal(vault, connection, record, digest)
            if receipt is None:
                receipt = _store(vault, connection, record, digest, key, file_keys)
                key = ""
            connection.execute(uploads.delete().where(uploads.c.id == upload))
    except IntegrityError as error:
        raise Damaged(f"record {record.seq} of {device} was stored twice at once") from error
    finally:
        if key:
            vault.store.delete(key)
    _drop_parts(vault, upload, numbers)
    return receipt


def _join(
    vault: Vault, key: str, upload: str, numbers: list[int], record: Record, headers: dict[str, str]
) -> dict[str, bytes]:
    """Makes the object of its parts and returns the file keys that open it.

    Wrong bytes are thrown away, so that the upload lists those parts as missing again.
    """
    try:
        vault.store.join(key, [_part_key(upload, number) for number in numbers])
        file_keys = _open_headers(vault, record, headers)
        _verify_object(vault, key, record, file_keys)
    except Damaged:
        _drop_parts(vault, upload, numbers)
        raise
    return file_keys


def _drop_parts(vault: Vault, upload: str, numbers: list[int]) -> None:
    for number in numbers:
        vault.store.delete(_part_key(upload, number))


def _finished(vault: Vault, upload: str, device: str) -> dict[str, Any] | None:
    """The receipt of an upload that was completed before; its id says of which record."""
    seq, _, digest = upload.partition("-")
    if not (seq.isdecimal() and len(seq) < 19):
        return None
    with vault.db.read() as connection:
        held = catalog.find_record(connection, device, int(seq))
    return held.receipt if held is not None and held.record_hash == digest else None


def abort(vault: Vault, upload: str, device: str) -> None:
    """Gives up an upload and removes its parts; NotFound."""
    row = _upload(vault, upload, device)
    with vault.db.write() as connection:
        connection.execute(uploads.delete().where(uploads.c.id == upload))
    _drop_parts(vault, upload, [number for number, _ in _parts(row.size_bytes, row.part_size)])


def _held(
    vault: Vault, connection: Connection, record: Record, digest: str
) -> dict[str, Any] | None:
    held = catalog.find_record(connection, record.device, record.seq)
    if held is None:
        return None
    if held.record_hash != digest:
        refusal = catalog.forgetting(connection, record.device, digest)
        if refusal is not None:  # what came late was replaced by a forgotten record
            return refusal
        if record.kind == "gap" and record.media.get("replaces") == held.record_hash:
            # Its card overwrote or damaged what had come home: the segment stays, the gap is moot.
            return _receipt(vault, connection, record, digest, held.log_index, "stored", "")
        raise Refused(
            f"device {record.device} signed two different records numbered {record.seq}",
            "its key may be copied: revoke the device and enrol it anew",
        )
    return held.receipt


def _refusal(
    vault: Vault, connection: Connection, record: Record, digest: str
) -> dict[str, Any] | None:
    reason = people.find(connection, record.person).status
    if reason == "active":
        bounds = catalog.wall_interval(connection, record, vault.now_ns())
        if not (record.parts and erasure.covers(connection, record.person, *bounds)):
            return None
        reason = "erased"
    index = log.append(connection, "ingest_refused", vault.now_ns(), record=digest)
    return _receipt(vault, connection, record, digest, index, "refused", reason)


def _store(
    vault: Vault,
    connection: Connection,
    record: Record,
    digest: str,
    key: str,
    file_keys: dict[str, bytes],
) -> dict[str, Any]:
    person = people.find(connection, record.person)
    segment = people.new_id("s", 8)
    start_ns, stop_ns = catalog.wall_interval(connection, record, vault.now_ns())
    day = catalog.day_of(start_ns)
    private = {"segment": segment, "start_ns": start_ns, "stop_ns": stop_ns}
    index = people.note(
        connection, f"{record.kind}_stored", person, vault.now_ns(), private=private, record=digest
    )
    receipt = _receipt(vault, connection, record, digest, index, "stored", "")
    listed, offset = [], 0
    generation = catalog.generation(connection, person.id, day)
    day_key = b""
    if record.parts:
        day_key = vault.keyring.day_key(person.id, day, generation, make=True)
    for part in record.parts:
        aad = file_key_aad(person.id, day, segment, part.name, part.payload_sha256)
        wrapped = wrap(day_key, file_keys[part.name], aad)
        size, sha256 = part.size_bytes, part.payload_sha256
        stored = StoredPart(segment, part.name, offset, size, sha256, part.cut, wrapped, generation)
        listed.append(stored)
        offset += size
    catalog.insert(
        connection,
        catalog.Segment(
            id=segment,
            person=person.id,
            device=record.device,
            session=record.session,
            seq=record.seq,
            kind=record.kind,
            record=record.to_json(),
            record_hash=digest,
            object=key,
            size_bytes=record.object_size,
            start_ns=start_ns,
            stop_ns=stop_ns,
            day=day,
            state="stored",
            receipt=receipt,
            log_index=index,
        ),
        listed,
    )
    return receipt


def _receipt(
    vault: Vault,
    connection: Connection,
    record: Record,
    digest: str,
    index: int,
    kind: str,
    reason: str,
) -> dict[str, Any]:
    receipt = Receipt(
        kind=kind,
        record_hash=digest,
        device=record.device,
        session=record.session,
        seq=record.seq,
        object_sha256=record.object_sha256,
        object_size=record.object_size,
        log_index=index,
        log_root=log.root(connection, index + 1).hex(),
        time_ns=vault.now_ns(),
        reason=reason,
    )
    return sign_receipt(receipt, vault.keyring.log_key())


def _verify_object(vault: Vault, key: str, record: Record, file_keys: dict[str, bytes]) -> None:
    """Damaged unless the object has the record's hashes and its parts are sealed as they should."""
    whole = hashlib.sha256()
    for chunk in vault.store.chunks(key):
        whole.update(chunk)
    if whole.hexdigest() != record.object_sha256:
        raise Damaged(f"the bytes of record {record.seq} are not what it names", "send them again")
    offset = 0
    for part in record.parts:
        digest = hashlib.sha256()
        for at in range(offset, offset + part.size_bytes, PART_SIZE):
            size = min(PART_SIZE, offset + part.size_bytes - at)
            digest.update(vault.store.read(key, at, size))
        if digest.hexdigest() != part.payload_sha256:
            raise Damaged(f"part {part.name} of record {record.seq} is not what it names")
        source = vault.store.open(key, offset, part.size_bytes)
        opener = age.Opener(file_keys[part.name], source, part.size_bytes, allow_cut=part.cut)
        # Its end has opened by now, and so must its beginning: nothing else is sealed footage.
        if not opener.read_range(0, 1) and part.cut:
            raise Damaged(f"part {part.name} of record {record.seq} opens to nothing")
        offset += part.size_bytes


def _open_headers(vault: Vault, record: Record, headers: dict[str, str]) -> dict[str, bytes]:
    """The file key of each part; Damaged or WrongKey if a header is not the one for us."""
    identities = vault.keyring.ingest_identities(record.person)
    file_keys = {}
    for part in record.parts:
        header = _header(headers, part.name)
        named = (len(header), hashlib.sha256(header).hexdigest())
        if named != (part.header_size, part.header_sha256):
            raise Damaged(f"the header of part {part.name} is not what record {record.seq} names")
        file_keys[part.name] = age.open_header(header, identities)
    return file_keys


def _header(headers: dict[str, str], name: str) -> bytes:
    try:
        return base64.b64decode(headers[name], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"the age header of part {name} is missing or not base64") from error


def _upload(vault: Vault, upload: str, device: str | None = None) -> sa.Row:
    with vault.db.read() as connection:
        row = connection.execute(sa.select(uploads).where(uploads.c.id == upload)).first()
    if row is None or (device is not None and row.device != device):
        raise NotFound(f"there is no upload {upload}", "begin it again with the signed record")
    return row


def _parts(size: int, part_size: int) -> list[tuple[int, int]]:
    starts = range(0, size, part_size)
    return [(at // part_size + 1, min(part_size, size - at)) for at in starts]


def _part_key(upload: str, number: int) -> str:
    return f"uploads/{upload}/{number:05d}"


def _part_url(vault: Vault, upload: str, number: int) -> str:
    expires_s = int(vault.now_ns() / 1e9) + URL_LIFETIME_S
    mac = _mac(vault, upload, number, expires_s)
    return f"/api/uploads/{upload}/parts/{number}?expires={expires_s}&mac={mac}"


def _mac(vault: Vault, upload: str, number: int, expires_s: int) -> str:
    return hmac.digest(vault.url_key(), f"{upload}|{number}|{expires_s}".encode(), "sha256").hex()
