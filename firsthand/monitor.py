"""What was once said of a log, held against the log that is: truncation, edit, fork or rollback.

Pure. Whoever reads the entries calls `Monitor.at` at each size that somebody spoke of; log.py does
so for a database, and a log of tiles is read in the same way.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from firsthand.errors import Damaged

Kind = Literal["truncation", "edit", "fork", "rollback"]


class BrokenLog(Damaged):
    """The log isn't what it was: in which of the four ways, and between which entries."""

    def __init__(self, kind: Kind, first: int, stop: int, message: str) -> None:
        hint = {
            "truncation": 'its end is missing: bring it back with "firsthand vault recover"',
            "edit": "compare with the copy in the store, and with checkpoints kept elsewhere",
            "fork": "the log's key signed two histories: it, or the vault, is in other hands",
            "rollback": 'an old state was put back: run "firsthand vault recover"',
        }[kind]
        super().__init__(f"{kind}: {message}", hint)
        self.kind, self.first, self.stop = kind, first, stop


@dataclass(frozen=True)
class Seen:
    """A statement that the log of `size` entries had this root, and where it stands.

    Without a root it says only that there were so many. `verify` raises Damaged unless the log's
    key made the statement; None if another did, such as a device. `inside` says that it is kept in
    the vault, where whoever changes the log can reach it.
    """

    size: int
    root: bytes | None
    where: str
    inside: bool
    verify: Callable[[], object] | None = field(default=None, compare=False)


class Monitor:
    """Compares statements with a log that is read once, from its beginning."""

    def __init__(self) -> None:
        self._agreed: Seen | None = None  # the largest that the log's key made
        self._agreed_size = 0
        self._denied: list[Seen] = []  # statements that the log contradicts
        self._beyond: list[Seen] = []

    def at(self, root: bytes, seen: Seen) -> None:
        """The log has reached the size of this statement, with this root."""
        if seen.root is None:
            return
        if seen.root != root:
            if len(self._denied) < 100:  # one is enough; the first bounds where
                self._denied.append(seen)
        elif not self._denied:
            self._agreed_size = max(self._agreed_size, seen.size)
        if seen.root == root and seen.verify is not None:
            self._agreed = seen

    def beyond(self, seen: Seen) -> None:
        """The log ended before it reached the size of this statement."""
        if len(self._beyond) < 100:
            self._beyond.append(seen)

    def judge(self, size: int) -> None:
        """Raises BrokenLog if anything that was said does not hold of this log of `size` entries.

        Contradicted by what its own key said, a log is forked if that key also spoke for it as it
        is, at that size or later; else its entries were changed and nothing signed speaks for them.
        """
        for seen in [*self._denied, *self._beyond]:
            _believe(seen)
        for seen in self._denied:
            between = (self._agreed_size, seen.size)
            said = f"{seen.where} says otherwise of its first {seen.size} entries"
            spoken = self._agreed
            if spoken is not None and spoken.size >= seen.size:
                _believe(spoken)
                message = f"the log was signed with two contents: {said}, {spoken.where} agrees"
                raise BrokenLog("fork", 0, seen.size, message)  # both branches may agree with some
            first, last = between[0], between[1] - 1
            where = f"entry {first}" if first == last else f"one of entries {first} to {last}"
            raise BrokenLog("edit", *between, f"{where} of the log was changed: {said}")
        for inside, kind, words in ((True, "truncation", "was cut"), (False, "rollback", "is old")):
            for seen in self._beyond:
                if seen.inside == inside:
                    message = f"the log {words}: it holds {size} entries, {seen.where} knows "
                    raise BrokenLog(kind, size, seen.size, f"{message}{seen.size}")  # type: ignore[arg-type]


def merged(seen: Iterable[Seen]) -> list[Seen]:
    """Statements in the order in which a log that is read meets them."""
    return sorted(seen, key=lambda each: each.size)


def _believe(seen: Seen) -> None:
    """BrokenLog if a statement that should be the log's own word is not signed by its key."""
    if seen.verify is None:
        return
    try:
        seen.verify()
    except Damaged as error:
        message = f"{seen.where} was changed: {error.message}"
        raise BrokenLog("edit", seen.size - 1, seen.size, message) from error
