"""Completing: the parts of an upload become an object, which is verified and stored."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy.exc import IntegrityError

from firsthand import age
from firsthand.consent import people
from firsthand.errors import Damaged, Error, NotFound, Refused
from firsthand.segment import Record, verify_record
from firsthand.vault import catalog, fork
from firsthand.vault.digest import Digest
from firsthand.vault.ingest import storing, uploads
from firsthand.vault.ingest.headers import open_headers
from firsthand.vault.ingest.uploads import Upload
from firsthand.vault.vault import Vault


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
    row = uploads.find(vault, upload, device)
    with vault.db.read() as connection:
        enrolled = people.find_device(connection, device)
    record = verify_record(row.envelope, enrolled.key)
    held, wanted = uploads.held_parts(vault, row) or {}, row.parts
    lacking = [number for number, size in wanted.items() if held.get(number) != size]
    if lacking:
        raise Damaged(
            f"upload {upload} lacks {len(lacking)} of {len(wanted)} parts",
            "send them, then complete",
        )
    try:
        fork.check(vault, record)
        file_keys = _join(vault, row, record)
    except Damaged:
        uploads.renew(vault, row)  # so that the upload lists its parts as missing again
        raise
    except Refused:  # a fork of the device's chain: its bytes are wanted by nobody
        uploads.drop(vault, row)
        raise
    digest = record.hash()
    try:
        with vault.db.write() as connection:
            receipt = storing.settled(vault, connection, record, digest)
            if receipt is None:
                known = uploads.known(connection, upload)
                if known is None or known.multipart != row.multipart:
                    raise NotFound(f"upload {upload} was given up", "begin it again")
                receipt = storing.store(
                    vault, connection, record, digest, row.object, file_keys, row.envelope
                )
            connection.execute(uploads.REMOVE, {"asked": upload})
            stored = catalog.find_record(connection, device, record.seq)
    except IntegrityError as error:
        raise Damaged(f"record {record.seq} of {device} was stored twice at once") from error
    except Refused:  # a fork of the device's chain: its bytes are wanted by nobody
        uploads.drop(vault, row)
        raise
    vault.store.abort(row.object, row.multipart)  # files keep the parts beside the object
    if stored is None or stored.object != row.object:
        vault.store.delete(row.object)
    return receipt


def _join(vault: Vault, row: Upload, record: Record) -> dict[str, bytes]:
    """Makes the object of its parts and returns the file keys that open it; Damaged."""
    vault.store.finish(row.object, row.multipart)
    file_keys = open_headers(vault, record, row.headers)
    _verify_object(vault, row.object, row.multipart, record, file_keys)
    return file_keys


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
    row = uploads.find(vault, upload, device)
    uploads.drop(vault, row)
