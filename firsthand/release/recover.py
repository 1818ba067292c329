"""The recovery of a whole vault: what its store says, its releases, then the orders of erasure.

Releases come back before any order is carried out, so that it reaches them too.
"""

from collections.abc import Callable

from firsthand.release import erase
from firsthand.release.journal import restore
from firsthand.vault.recover import Recovered, rebuild
from firsthand.vault.vault import Vault


def recover(vault: Vault, progress: Callable[[int, int], None] | None = None) -> Recovered:
    """Recovers a vault opened with `recovering=True`; Damaged if the database and the store tell
    two different stories, Locked if somebody else has it open. It can be run again at any time.
    """
    with vault.alone():
        done = rebuild(
            vault,
            lambda found: restore(vault, found),
            lambda order: erase.carry_out(vault, order),
            progress,
        )
        erase.settle(vault)
        vault.end_recovery()
    return done
