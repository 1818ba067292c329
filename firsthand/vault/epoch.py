"""The vault's epochs: the keyring's are ended here, and the log says when each was."""

from collections.abc import Callable

from firsthand import log
from firsthand.vault.keys import epochs
from firsthand.vault.keys.keyring import Epoch
from firsthand.vault.keys.keyring import epochs as table
from firsthand.vault.vault import Vault


def rotate(vault: Vault, progress: Callable[[int, int], None] | None = None) -> list[Epoch]:
    """Ends the epoch of now, begins the next, and notes it in the log; returns what ended."""
    ended = epochs.rotate(vault.keyring, progress)
    note(vault)
    return ended


def note(vault: Vault) -> None:
    """Writes into the log which epochs ended, where that was not done yet."""
    for epoch in vault.keyring.epochs():
        if epoch.ended_ns is None or epoch.log_index is not None:
            continue
        with vault.db.write() as connection:
            index = log.append(
                connection,
                "epoch_ended",
                vault.now_ns(),
                epoch=epoch.number,
                gone_ns=epoch.gone_ns,
            )
        # Cut off here, the log says it twice, which is no less true.
        with vault.keyring.db.write() as connection:
            where = table.c.number == epoch.number
            connection.execute(table.update().where(where).values(log_index=index))
