"""The receipt of an erasure: what was destroyed and when, signed, with proof that the log says so.

It has two times: when the live system lost the keys, and when the last backup of the keyring lost
its worth, because the root of its epoch was destroyed. Until that has happened the second is
missing, and the receipt says by when it will be.
"""

import base64
import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from firsthand import log, tlog
from firsthand.consent import erasure
from firsthand.crypto import VerifyKey
from firsthand.errors import Damaged, Refused
from firsthand.segment import sign_body, verify_body
from firsthand.vault.keys import epochs
from firsthand.vault.vault import Vault

CONTEXT = "firsthand/erasure/v1"


def receipt(vault: Vault, order: str) -> dict[str, Any]:
    """The signed receipt of an order that was carried out; NotFound, Refused before that."""
    ended = {epoch.number: epoch for epoch in vault.keyring.epochs()}
    with vault.db.read() as connection:
        held = erasure.find(connection, order)
        if held.done_ns is None or held.done_index is None or held.epoch is None:
            raise Refused(f"erasure {order} is {held.state}: nothing was destroyed yet")
        epoch = ended[held.epoch]
        gone_ns = epoch.gone_ns if epoch.log_index is not None else None
        lag_ns = vault.keyring.keeper(epoch.root).lag_ns
        body: dict[str, Any] = {
            "v": 1,
            "order": held.id,
            "scope": held.scope,
            "person": held.person,
            "release": held.release or "",
            "ordered_ns": held.ordered_ns,
            "gone_live_ns": held.done_ns,
            "gone_backups_ns": gone_ns,
            "gone_backups_by_ns": gone_ns or epoch.began_ns + epochs.LONGEST_NS + lag_ns,
            "epoch": held.epoch,
            "outcome": held.outcome or {},
            "proofs": [_proof(connection, held.done_index)],
        }
        if epoch.log_index is not None:
            body["proofs"].append(_proof(connection, epoch.log_index))
        state = tlog.Checkpoint(vault.origin, log.size(connection), log.root(connection))
    body["checkpoint"] = state.sign(vault.keyring.log_key())
    return sign_body("erasure", body, vault.keyring.log_key(), CONTEXT)


def verify(envelope: Any, key: VerifyKey) -> dict[str, Any]:
    """What a receipt says; Damaged unless this vault signed it and its log holds it all."""
    body = verify_body("erasure", envelope, key, CONTEXT)
    try:
        state = tlog.open_checkpoint(body["checkpoint"], tlog.log_name(key), key)
        said = [_entry(proof, state) for proof in body["proofs"]]
        done = said[0]
        named = (done["kind"], done["order"], done["scope"], done["epoch"], done["time_ns"])
        wanted = ("erasure_done", body["order"], body["scope"], body["epoch"], body["gone_live_ns"])
        if named != wanted:
            raise Damaged("the log entry of this erasure says something else")
        if body["gone_backups_ns"] is not None:
            ended = [each for each in said[1:] if each["kind"] == "epoch_ended"]
            times = [each["gone_ns"] for each in ended if each["epoch"] == body["epoch"]]
            if times != [body["gone_backups_ns"]]:
                raise Damaged("no log entry says that the epoch of this erasure ended then")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Damaged("this is no receipt of an erasure") from error
    return body


def _proof(connection: Connection, index: int) -> dict[str, Any]:
    size = log.size(connection)
    query = sa.select(log.entries.c.entry).where(log.entries.c.index == index)
    steps = tlog.inclusion_proof(index, size, log.reader(connection))
    entry = base64.b64encode(connection.scalar(query) or b"").decode()
    return {"index": index, "entry": entry, "proof": [step.hex() for step in steps]}


def _entry(proof: dict[str, Any], state: tlog.Checkpoint) -> dict[str, Any]:
    """The log entry of a proof; Damaged unless it is in the log that the checkpoint speaks of."""
    entry = base64.b64decode(proof["entry"], validate=True)
    steps = [bytes.fromhex(step) for step in proof["proof"]]
    leaf = tlog.leaf_hash(entry)
    tlog.verify_inclusion(leaf, proof["index"], state.size, steps, state.root)
    return json.loads(entry)
