"""Ingest: a signed record and its sealed bytes become a stored segment with a signed receipt.

Verified, durable, noted in the journal, logged, receipted, in this order, and idempotent. The bytes
travel by the multipart protocol of web/ingest.py; nothing here knows HTTP.
"""

import base64
import contextlib
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from firsthand import age, log
from firsthand.consent import erasure, people
from firsthand.consent.capture import review
from firsthand.crypto import canonical, wrap
from firsthand.errors import Damaged, Error, NotFound, Refused, Usage
from firsthand.segment import Record, verify_record
from firsthand.vault import catalog, fork, hidden, parts, quota
from firsthand.vault import place as when
from firsthand.vault.catalog import StoredPart, uploads
from firsthand.vault.digest import Digest
from firsthand.vault.receipt import receipt_for
from firsthand.vault.s3 import Begun
from firsthand.vault.vault import Vault, file_key_aad

# S3's least part size; a broken link costs at most one part. A device with a good link may ask for
# larger ones; a part is held in memory.
PART_SIZE = 5 << 20
PART_MAX = 16 << 20
URL_LIFETIME_S = 3600
# Where the bytes of an upload go that was only announced. In S3 each begun upload is one more that
# the store keeps and lists; a day on a card has 800.
NOWHERE = {"object": "", "multipart": ""}
# What a device began and left alone for so long is thrown away; it begins again and loses nothing.
STALE_S = 7 * 86_400


def open_upload(
    vault: Vault,
    device: people.Device,
    envelope: dict[str, Any],
    headers: dict[str, str],
    part_size: int = 0,
    announce: bool = False,
) -> dict[str, Any]:
    """Begins, or finds again, the upload of a signed record; its parts are as large as asked for.

    With `announce` the store hears of it only once its parts are asked for. Returns {"receipt"} if
    nothing is left to send, else {"upload", "part_size"}. Damaged, Refused
    or Usage if the record is not this device's, forks its chain, or lacks its headers; TooLarge,
    TooMuch or StoreFull if there is no room for it.
    """
    record = verify_record(envelope, device.key)
    if (record.device, record.person) != (device.id, device.person):
        raise Refused(f"record {record.seq} is not by device {device.id} of its person")
    if b"\\u0000" in canonical(record.to_json()):
        raise Usage(f"record {record.seq} holds a NUL character", "no text of a device has one")
    fork.check(vault, record)
    digest = record.hash()
    upload = f"{record.seq}-{digest}"
    part_size = max(PART_SIZE, min(PART_MAX, part_size))
    with vault.db.write() as connection:
        receipt = _settled(vault, connection, record, digest)
        known = None if receipt is not None else _known(connection, upload)
        if receipt is None and known is None:
            quota.check(connection, vault, record)
        if receipt is None and record.object_size == 0:
            receipt = _store(vault, connection, record, digest, "", {}, envelope)
    if receipt is not None:
        return {"receipt": receipt}
    if known is None:
        _open_headers(vault, record, headers)  # else its bytes would travel in vain
        place = NOWHERE if announce else _fresh(vault)
        receipt, known = _begin(vault, upload, record, envelope, headers, part_size, place)
        if receipt is not None:
            return {"receipt": receipt}
    assert known is not None
    if known.part_size != part_size and not _sizes(vault, known):
        known = _cut_anew(vault, known, part_size)
    return {"upload": known.id, "part_size": known.part_size}


def _begin(
    vault: Vault,
    upload: str,
    record: Record,
    envelope: dict[str, Any],
    headers: dict[str, str],
    part_size: int,
    place: dict[str, str],
) -> tuple[dict[str, Any] | None, sa.Row | None]:
    """(a receipt that came meanwhile, or None; the upload's row), begun by us or someone faster."""
    with vault.db.write() as connection:
        receipt = _settled(vault, connection, record, record.hash())
        known = _known(connection, upload)
        ours = receipt is None and known is None
        if ours:
            when.learn(connection, record, vault.now_ns())
            row = {
                "id": upload,
                "device": record.device,
                "envelope": envelope,
                "headers": {part.name: headers[part.name] for part in record.parts},
                "size_bytes": record.object_size,
                "part_size": part_size,
                "opened_ns": vault.now_ns(),
            }
            connection.execute(uploads.insert().values(**row, **place))
            known = _known(connection, upload)
    if not ours and place != NOWHERE:
        vault.store.abort(place["object"], place["multipart"])
    return receipt, known


def _fresh(vault: Vault) -> dict[str, str]:
    """A new place for an object, and the store's id of the parts it will be made of.

    Asked for outside of any transaction: nobody waits for a store that is far away.
    """
    key = f"segments/{secrets.token_hex(16)}"
    return {"object": key, "multipart": vault.store.begin(key)}


def _settled(
    vault: Vault, connection: Connection, record: Record, digest: str
) -> dict[str, Any] | None:
    """The receipt of a record that is held, or whose person's consent is over."""
    held = _held(vault, connection, record, digest)
    return _refusal(vault, connection, record, digest) if held is None else held


def missing_parts(
    vault: Vault, upload: str, device: str, md5s: dict[int, str] | None = None
) -> tuple[list[dict], list[dict]]:
    """(parts held, parts to send): each {"number", "size"}, the latter with its signed "url".

    A part whose MD5 is given, in base64, gets a URL at which a store takes no other bytes.
    """
    row = _upload(vault, upload, device)
    held = _sizes(vault, row)
    if held is None:  # only announced so far, or the store forgot it
        row = _renew(vault, row)
        held = {}
    have, need = [], []
    for number, size in _parts(row.size_bytes, row.part_size):
        part = {"number": number, "size": size}
        if held.get(number) == size:
            have.append(part)
        else:
            md5 = (md5s or {}).get(number, "")
            need.append(part | {"url": _part_url(vault, row, number, size, md5)})
    return have, need


def _sizes(vault: Vault, row: sa.Row) -> dict[int, int] | None:
    """Sizes of the parts that the store holds; None if it knows nothing of this upload."""
    if not row.multipart:
        return None
    whole = dict(_parts(row.size_bytes, row.part_size))
    held: dict[int, int] | None = None
    with contextlib.suppress(NotFound):
        held = vault.store.parts(row.object, row.multipart)
    # The object is looked for last: it is there before its parts go, so whoever comes while
    # another completes the upload, or after a crash, misses neither.
    if held != whole and vault.store.size(row.object) == row.size_bytes:
        return whole
    return held


def _renew(vault: Vault, row: sa.Row) -> sa.Row:
    """Throws away what came for an upload and begins it anew; NotFound if it was ended meanwhile.

    A new place each time: what one process verified, no other can change or remove.
    """
    fresh = _fresh(vault)
    where = (uploads.c.id == row.id) & (uploads.c.multipart == row.multipart)
    with vault.db.write() as connection:
        ours = connection.execute(uploads.update().where(where).values(**fresh)).rowcount
    if ours:
        discard(vault, row)
    else:
        vault.store.abort(fresh["object"], fresh["multipart"])
    return _upload(vault, row.id, row.device)


def discard(vault: Vault, row: sa.Row) -> None:
    """Removes the bytes of an upload that is in no row (any more), or whose row goes with them."""
    if not row.multipart:  # announced, and never begun
        return
    vault.store.abort(row.object, row.multipart)
    vault.store.delete(row.object)


def _cut_anew(vault: Vault, row: sa.Row, part_size: int) -> sa.Row:
    """Cuts an upload of which nothing came yet as the device's link of now deserves."""
    where = (uploads.c.id == row.id) & (uploads.c.multipart == row.multipart)
    with vault.db.write() as connection:
        connection.execute(uploads.update().where(where).values(part_size=part_size))
    return _upload(vault, row.id, row.device)


def check_url(vault: Vault, upload: str, number: int, expires_s: int, mac: str) -> None:
    """Refused unless this vault gave out this part URL and it has not ended."""
    if not hmac.compare_digest(mac.encode(), _mac(vault, upload, number, expires_s).encode()):
        raise Refused("this part URL was not given out by this vault")
    if vault.now_ns() / 1e9 > expires_s:
        raise Refused("this part URL has ended", "ask for the upload again to get a new one")


def open_part(
    vault: Vault, upload: str, number: int, expires_s: int, mac: str, size: int
) -> parts.Writer:
    """Where the bytes of one part go; Refused (URL wrong or old) or Damaged (wrong size)."""
    check_url(vault, upload, number, expires_s, mac)
    row = _upload(vault, upload)
    if not row.multipart:  # given up and announced again: the URL is of the time before
        raise NotFound(f"upload {upload} was given up", "ask for it again to get new URLs")
    belongs = dict(_parts(row.size_bytes, row.part_size)).get(number)
    if belongs != size:
        raise Damaged(f"part {number} has {size} bytes, {belongs} belong there")
    stretches = [part["size_bytes"] for part in row.envelope["record"]["parts"]]
    offset = (number - 1) * row.part_size
    return vault.store.open_part(row.multipart, number, offset, size, stretches)


def etag(upload: str, number: int) -> str:
    """The ETag of a part here: it says which part, not what is in it, as in S3 nobody may rely."""
    return f'"{hashlib.sha256(f"{upload}/{number}".encode()).hexdigest()[:32]}"'


def put_part(
    vault: Vault, upload: str, number: int, expires_s: int, mac: str, data: bytes, md5: str
) -> str:
    """Keeps one part, whole, and returns its ETag; raises as `open_part` does."""
    writer = open_part(vault, upload, number, expires_s, mac, len(data))
    try:
        digest = hashlib.md5(data, usedforsecurity=False).digest() if md5 else b""
        if md5 and md5 != base64.b64encode(digest).decode():
            raise Damaged(f"part {number} changed on its way", "send it again")
        writer.write(data)
        writer.finish()
    finally:
        writer.close()
    return etag(upload, number)


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
    held, wanted = _sizes(vault, row) or {}, _parts(row.size_bytes, row.part_size)
    lacking = [number for number, size in wanted if held.get(number) != size]
    if lacking:
        raise Damaged(
            f"upload {upload} lacks {len(lacking)} of {len(wanted)} parts",
            "send them, then complete",
        )
    try:
        fork.check(vault, record)
        file_keys = _join(vault, row, record)
    except Damaged:
        _renew(vault, row)  # so that the upload lists its parts as missing again
        raise
    except Refused:  # a fork of the device's chain: its bytes are wanted by nobody
        _drop(vault, row)
        raise
    digest = record.hash()
    try:
        with vault.db.write() as connection:
            receipt = _settled(vault, connection, record, digest)
            if receipt is None:
                known = _known(connection, upload)
                if known is None or known.multipart != row.multipart:
                    raise NotFound(f"upload {upload} was given up", "begin it again")
                receipt = _store(
                    vault, connection, record, digest, row.object, file_keys, row.envelope
                )
            connection.execute(uploads.delete().where(uploads.c.id == upload))
            stored = catalog.find_record(connection, device, record.seq)
    except IntegrityError as error:
        raise Damaged(f"record {record.seq} of {device} was stored twice at once") from error
    except Refused:  # a fork of the device's chain: its bytes are wanted by nobody
        _drop(vault, row)
        raise
    vault.store.abort(row.object, row.multipart)  # files keep the parts beside the object
    if stored is None or stored.object != row.object:
        vault.store.delete(row.object)
    return receipt


def _join(vault: Vault, row: sa.Row, record: Record) -> dict[str, bytes]:
    """Makes the object of its parts and returns the file keys that open it; Damaged."""
    vault.store.finish(row.object, row.multipart)
    file_keys = _open_headers(vault, record, row.headers)
    _verify_object(vault, row.object, row.multipart, record, file_keys)
    return file_keys


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
    _drop(vault, row)


def _drop(vault: Vault, row: sa.Row) -> None:
    where = (uploads.c.id == row.id) & (uploads.c.multipart == row.multipart)
    with vault.db.write() as connection:
        ours = connection.execute(uploads.delete().where(where)).rowcount
    # Once its row is gone nobody can store it, so its bytes may go.
    if ours:
        discard(vault, row)


def strays(vault: Vault) -> list[Begun]:
    """What the store holds of uploads that no row knows: cut off as they were begun or ended."""
    # The store is asked first: what is begun after that has no row to be missed in.
    begun = list(vault.store.begun())
    with vault.db.read() as connection:
        known = set(connection.scalars(sa.select(uploads.c.multipart)))
    return [each for each in begun if each.upload not in known]


def sweep(vault: Vault, older_s: int = STALE_S, now_s: Callable[[], float] = time.time) -> int:
    """Throws away uploads that were begun so long ago and not ended; returns how many.

    Devices begin them again: nothing leaves a card before its receipt.
    """
    before_ns = vault.now_ns() - older_s * 10**9
    with vault.db.read() as connection:
        query = sa.select(uploads).where(uploads.c.opened_ns < before_ns)
        stale = connection.execute(query).all()
    lost = [each for each in strays(vault) if each.begun_s < now_s() - older_s]
    for row in stale:
        _drop(vault, row)
    for each in lost:
        vault.store.abort(each.key, each.upload)
    return len(stale) + len(lost)


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
            return receipt_for(vault, connection, record, digest, held.log_index, "stored", "")
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
        now_ns = vault.now_ns()
        bounds = when.interval(connection, record, now_ns)
        if not (record.parts and erasure.covers(connection, record.person, *bounds, now_ns)):
            return None
        reason = "erased"
    index = log.append(connection, "ingest_refused", vault.now_ns(), record=digest)
    return receipt_for(vault, connection, record, digest, index, "refused", reason)


def _store(
    vault: Vault,
    connection: Connection,
    record: Record,
    digest: str,
    key: str,
    file_keys: dict[str, bytes],
    envelope: dict[str, Any],
) -> dict[str, Any]:
    person = people.find(connection, record.person)
    segment = people.new_id("s", 8)
    start_ns, stop_ns = when.learn(connection, record, vault.now_ns())
    day = catalog.day_of(start_ns)
    private = {"segment": segment, "start_ns": start_ns, "stop_ns": stop_ns}
    index = people.note(
        connection, f"{record.kind}_stored", person, vault.now_ns(), private=private, record=digest
    )
    receipt = receipt_for(vault, connection, record, digest, index, "stored", "")
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
    held = catalog.Segment(
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
    )
    catalog.insert(connection, held, listed)
    if record.kind == "segment":
        review.arrive(connection, person.id, day, vault.now_ns())
    # What an order names that can still be undone is taken in, and hidden with the rest.
    hidden.take_in(connection, person.id)
    quota.note(connection, record.device, record.object_size, vault.now_ns())
    vault.journal.put_slip(held, listed, envelope)
    return receipt


def _verify_object(
    vault: Vault, key: str, multipart: str, record: Record, file_keys: dict[str, bytes]
) -> None:
    """Damaged unless the object has the record's hashes and its parts are sealed as they should.

    It is read back unless each of its bytes was hashed here in the moment it was written.
    """
    sizes = [part.size_bytes for part in record.parts]
    known = vault.store.digests(multipart, record.object_size)
    digest, digests = known or _digests(vault.store.chunks(key), sizes)
    if digest != record.object_sha256:
        raise Damaged(f"the bytes of record {record.seq} are not what it names", "send them again")
    offset = 0
    for part, digest in zip(record.parts, digests, strict=True):
        if digest != part.payload_sha256:
            raise Damaged(f"part {part.name} of record {record.seq} is not what it names")
        source = vault.store.open(key, offset, part.size_bytes)
        opener = age.Opener(file_keys[part.name], source, part.size_bytes, allow_cut=part.cut)
        # Its end has opened by now, and so must its beginning: nothing else is sealed footage.
        if not opener.read_range(0, 1) and part.cut:
            raise Damaged(f"part {part.name} of record {record.seq} opens to nothing")
        offset += part.size_bytes


def _digests(chunks: Iterable[bytes], sizes: list[int]) -> tuple[str, list[str]]:
    """The hashes of all bytes and of these stretches, read back."""
    digest = Digest(sizes)
    for chunk in chunks:
        digest.update(chunk)
    return digest.result()


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
    if len({*file_keys.values()}) < len(file_keys):  # one key seals one payload
        raise Damaged(f"two parts of record {record.seq} are sealed under one file key")
    return file_keys


def _header(headers: dict[str, str], name: str) -> bytes:
    try:
        return base64.b64decode(headers[name], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"the age header of part {name} is missing or not base64") from error


def _upload(vault: Vault, upload: str, device: str | None = None) -> sa.Row:
    with vault.db.read() as connection:
        row = _known(connection, upload)
    if row is None or (device is not None and row.device != device):
        raise NotFound(f"there is no upload {upload}", "begin it again with the signed record")
    return row


def _parts(size: int, part_size: int) -> list[tuple[int, int]]:
    starts = range(0, size, part_size)
    return [(at // part_size + 1, min(part_size, size - at)) for at in starts]


def _known(connection: Connection, upload: str) -> sa.Row | None:
    return connection.execute(sa.select(uploads).where(uploads.c.id == upload)).first()


def _part_url(vault: Vault, row: sa.Row, number: int, size: int, md5: str) -> str:
    """The store's own URL, else one of ours."""
    url = vault.store.part_url(row.object, row.multipart, number, size, md5, URL_LIFETIME_S)
    if url is not None:
        return url
    expires_s = int(vault.now_ns() / 1e9) + URL_LIFETIME_S
    mac = _mac(vault, row.id, number, expires_s)
    return f"/api/uploads/{row.id}/parts/{number}?expires={expires_s}&mac={mac}"


def _mac(vault: Vault, upload: str, number: int, expires_s: int) -> str:
    return hmac.digest(vault.url_key(), f"{upload}|{number}|{expires_s}".encode(), "sha256").hex()
