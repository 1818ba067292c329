"""The receipt: the vault's signed word on one record, bound to its place in the log."""

from typing import Any

from sqlalchemy import Connection

from firsthand import log
from firsthand.segment import Receipt, Record, sign_receipt
from firsthand.vault.vault import Vault


def receipt_for(
    vault: Vault,
    connection: Connection,
    record: Record,
    digest: str,
    index: int,
    kind: str,
    reason: str,
) -> dict[str, Any]:
    """The signed receipt, "stored" or "refused", of the record with this hash and entry of the log.

    A record without parts has no object, and its receipt names none. Its time is the log's, which a
    clock that was put back does not change: the review of a day begins by it.
    """
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
        time_ns=log.now(connection, vault.now_ns()),
        reason=reason,
    )
    return sign_receipt(receipt, vault.keyring.log_key())
