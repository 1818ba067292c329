"""Ingest: a signed record and its sealed bytes become a stored segment with a signed receipt.

Verified, durable, noted in the journal, logged, receipted, in this order, and idempotent. The bytes
travel by the multipart protocol of web/ingest.py; nothing here knows HTTP. An upload is begun by
opening.py, its bytes come through sending.py, completing.py makes a segment of them, and storing.py
is what "stored" means.
"""

from firsthand.vault.ingest.completing import abort, complete
from firsthand.vault.ingest.opening import open_upload
from firsthand.vault.ingest.sending import (
    URL_LIFETIME_S,
    check_url,
    etag,
    missing_parts,
    open_part,
    put_part,
)
from firsthand.vault.ingest.sweeping import STALE_S, strays, sweep
from firsthand.vault.ingest.uploads import PART_MAX, PART_SIZE, discard

__all__ = [
    "PART_MAX",
    "PART_SIZE",
    "STALE_S",
    "URL_LIFETIME_S",
    "abort",
    "check_url",
    "complete",
    "discard",
    "etag",
    "missing_parts",
    "open_part",
    "open_upload",
    "put_part",
    "strays",
    "sweep",
]
