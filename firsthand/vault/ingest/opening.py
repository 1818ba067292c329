"""Opening: a device hands in a signed record, and gets a receipt or an upload for its bytes."""

from typing import Any

from firsthand.consent import people
from firsthand.crypto import canonical
from firsthand.errors import Refused, Usage
from firsthand.segment import Record, verify_record
from firsthand.vault import fork, quota
from firsthand.vault import place as when
from firsthand.vault.ingest import storing, uploads
from firsthand.vault.ingest.headers import open_headers
from firsthand.vault.ingest.uploads import NOWHERE, PART_MAX, PART_SIZE, Upload
from firsthand.vault.vault import Vault


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
    nothing is left to send, else {"upload", "part_size"}. Damaged, Refused or Usage if the record
    is not this device's, forks its chain, or lacks its headers; TooLarge, TooMuch or StoreFull if
    there is no room for it.
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
    # No writer waits for what is looked up here: a writer asks again before it relies on it.
    with vault.db.read() as connection:
        settled = storing.is_settled(vault, connection, record)
        known = None if settled else uploads.known(connection, upload)
        if not settled and known is None:
            quota.check(connection, vault, record)
    if settled or record.object_size == 0:
        with vault.db.write() as connection:
            receipt = storing.settled(vault, connection, record, digest)
            if receipt is None and record.object_size == 0:
                receipt = storing.store(vault, connection, record, digest, "", {}, envelope)
        if receipt is not None:
            return {"receipt": receipt}
    if known is None:
        open_headers(vault, record, headers)  # else its bytes would travel in vain
        place = NOWHERE if announce else uploads.new_place(vault)
        receipt, known = _begin(vault, record, digest, envelope, headers, part_size, place)
        if receipt is not None:
            return {"receipt": receipt}
    assert known is not None
    if known.part_size != part_size and not uploads.held_parts(vault, known):
        known = uploads.cut_anew(vault, known, part_size)
    return {"upload": known.id, "part_size": known.part_size}


def _begin(
    vault: Vault,
    record: Record,
    digest: str,
    envelope: dict[str, Any],
    headers: dict[str, str],
    part_size: int,
    place: dict[str, str],
) -> tuple[dict[str, Any] | None, Upload | None]:
    """(a receipt that came meanwhile, or None; the upload's row), begun by us or someone faster."""
    upload = f"{record.seq}-{digest}"
    with vault.db.write() as connection:
        receipt = storing.settled(vault, connection, record, digest)
        known = uploads.known(connection, upload)
        ours = receipt is None and known is None
        if ours:
            when.learn(connection, record, vault.now_ns())
            row: dict[str, Any] = {
                "id": upload,
                "device": record.device,
                "envelope": envelope,
                "headers": {part.name: headers[part.name] for part in record.parts},
                "size_bytes": record.object_size,
                "part_size": part_size,
                "opened_ns": vault.now_ns(),
            }
            connection.execute(uploads.ADD, row | place)
            known = Upload(**(row | place))
    if not ours and place != NOWHERE:
        vault.store.abort(place["object"], place["multipart"])
    return receipt, known
