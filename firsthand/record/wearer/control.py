"""What the wearer asked of the device: to pause, to mark this moment, to forget.

    control.json   in the device's folder, replaced as a whole by any process of its owner; the
                   recorder looks at it before it keeps a sample

Nobody but the owner of the folder has a say in it, and no policy. The vault can pass on a request
of the wearer's to pause (asked.py), never one to record. If it can't be read, nothing is recorded
until the wearer resumes.

A pause for a time ends by the boot clock. Over a restart of the device, time in which it was off
does not count, unless the date was known on both sides: so a pause never ends early, and lasts at
most its own length of time in which the device is on (and NOTE_S for each restart).
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from firsthand.errors import Failed, Usage
from firsthand.record.clock import Clock
from firsthand.record.durable import write_durably

VERSION = 1
NOTE_S = 30.0  # how often the rest of a timed pause is written down
MARKS = 20  # the last so many are kept
LABEL_MAX = 80


@dataclass(frozen=True)
class Pause:
    """A pause as it stood at noted_ns of the boot clock; left_ns None: until resumed."""

    boot_id: str
    noted_ns: int
    left_ns: int | None
    since_ns: int  # wall clock, only to be shown
    until_wall_ns: int = 0  # 0: the date was not known

    def rest_ns(self, clock: Clock) -> int | None:
        """How much is left now; None: until resumed."""
        if self.left_ns is None:
            return None
        now_ns = clock.boot_ns()
        if clock.boot_id() == self.boot_id and now_ns >= self.noted_ns:
            return max(0, self.left_ns - (now_ns - self.noted_ns))
        if self.until_wall_ns and _knows_date(clock) and clock.wall_ns() >= self.until_wall_ns:
            return 0
        return max(0, self.left_ns - now_ns)  # on since this boot


@dataclass(frozen=True)
class Mark:
    """A moment that the wearer marked; numbers grow."""

    number: int
    boot_id: str
    boot_ns: int
    label: str


@dataclass(frozen=True)
class Asked:
    """All that control.json says."""

    pause: Pause | None = None
    marks: tuple[Mark, ...] = ()
    marked: int = 0
    forget: int = 0  # grows with each request to forget (forget.py)
    resumed_boot: str = ""
    resumed_ns: int = 0  # when the last pause ended, by that boot's clock
    damaged: bool = False


NOTHING = Asked()


class Control:
    """The wearer's word in a device's folder, for those who give it and for the recorder."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.path = Path(folder) / "control.json"
        self._name = str(self.path)
        self.clock = clock or Clock()
        self._seen: tuple[int, ...] | None = None
        self._asked = NOTHING
        self._forgot, self._marked = 0, 0
        now = self.asked()
        self._forgot, self._marked = now.forget, now.marked  # what came before is done

    def asked(self) -> Asked:
        """What was asked last; one look at the file's state while nothing changes."""
        try:
            found = os.stat(self._name)
        except FileNotFoundError:
            self._seen, self._asked = None, NOTHING
            return NOTHING
        except OSError:
            return Asked(damaged=True)
        state = (found.st_mtime_ns, found.st_ino, found.st_size)
        if state != self._seen:
            self._asked = _read(self.path)
            self._seen = state
        return self._asked

    def paused(self, asked: Asked | None = None) -> Pause | None:
        """The pause that holds now, if one does."""
        asked = asked or self.asked()
        if asked.damaged:
            return Pause("", 0, None, 0)
        if asked.pause and asked.pause.rest_ns(self.clock) != 0:
            return asked.pause
        return None

    def pause(self, seconds: float | None) -> Pause:
        """Keep nothing from now on, for so long or (None) until resumed."""
        if seconds is not None and not 1 <= seconds <= 24 * 3600:
            raise Usage("a pause lasts from 1 s to 24 h", "or until you resume")
        clock = self.clock
        left_ns = None if seconds is None else round(seconds * 1e9)
        wall_ns = clock.wall_ns()
        until_ns = wall_ns + left_ns if left_ns and _knows_date(clock) else 0
        pause = Pause(clock.boot_id(), clock.boot_ns(), left_ns, wall_ns, until_ns)
        with self._changing() as asked:
            self._write(replace(asked, pause=pause))
        return pause

    def resume(self) -> bool:
        """Record again; says whether anything was paused."""
        paused = self.paused() is not None
        with self._changing() as asked:
            self._write(self._over(asked, self.clock.boot_ns()))
        return paused

    def mark(self, label: str = "bookmark") -> Mark:
        """Mark this moment, for the segment that is being recorded."""
        label = label.strip()
        if not 0 < len(label) <= LABEL_MAX or not label.isprintable():
            raise Usage(f"a label has 1 to {LABEL_MAX} printable characters")
        with self._changing() as asked:
            number = asked.marked + 1
            mark = Mark(number, self.clock.boot_id(), self.clock.boot_ns(), label)
            marks = (*asked.marks, mark)[-MARKS:]
            self._write(replace(asked, marks=marks, marked=number))
        return mark

    def call_to_forget(self) -> None:
        """Tell the recorder that a request to forget lies on the card."""
        with self._changing() as asked:
            self._write(replace(asked, forget=asked.forget + 1))

    # What follows is asked by the recorder alone.

    def hold(self, asked: Asked | None = None) -> str:
        """Why nothing may be kept now, or an empty word; asked before each sample is kept.

        Whoever asks several things about one sample looks at the file once, and hands that in.
        """
        pause = self.paused(asked)
        if pause is None:
            if self._asked.pause is not None and not self._asked.damaged:
                self._note(None)  # over: it must not go on after the next start of the device
            return ""
        if pause.left_ns is not None:
            passed_ns = self.clock.boot_ns() - pause.noted_ns
            if pause.boot_id != self.clock.boot_id() or not 0 <= passed_ns < NOTE_S * 1e9:
                self._note(pause)
        return "paused"

    def resumed_ns(self) -> int:
        """When the last pause ended, by the boot clock; 0 if that was in another boot."""
        asked = self.asked()
        return asked.resumed_ns if asked.resumed_boot == self.clock.boot_id() else 0

    def is_marked(self, asked: Asked) -> bool:
        """Whether `new_marks` has any to tell."""
        return asked.marked != self._marked

    def new_marks(self, asked: Asked | None = None) -> list[Mark]:
        """Marks that were set since this was asked last."""
        asked = asked or self.asked()
        if asked.marked == self._marked:
            return []
        new = [mark for mark in asked.marks if mark.number > self._marked]
        self._marked = asked.marked
        return new

    def must_forget(self, asked: Asked | None = None) -> bool:
        """Whether a request to forget came since this was asked last."""
        asked = asked or self.asked()
        if asked.damaged or asked.forget == self._forgot:
            return False
        self._forgot = asked.forget
        return True

    def _note(self, seen: Pause | None) -> None:
        """Write down what is left of a pause, or that it's over, unless the wearer spoke since."""
        with contextlib.suppress(OSError, Failed), self._changing() as asked:
            if asked.pause is None or asked.pause.left_ns is None or (seen and asked.pause != seen):
                return
            rest_ns = asked.pause.rest_ns(self.clock)
            clock, pause = self.clock, asked.pause
            boot_id, now_ns = clock.boot_id(), clock.boot_ns()
            noted = replace(pause, boot_id=boot_id, noted_ns=now_ns, left_ns=rest_ns)
            ended_ns = now_ns
            if boot_id == pause.boot_id:
                ended_ns = min(now_ns, pause.noted_ns + (pause.left_ns or 0))
            self._write(replace(asked, pause=noted) if rest_ns else self._over(asked, ended_ns))

    def _over(self, asked: Asked, now_ns: int) -> Asked:
        return replace(asked, pause=None, resumed_boot=self.clock.boot_id(), resumed_ns=now_ns)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Asked]:
        """One change at a time, by a lock on the folder itself: it needs no file of its own."""
        try:
            handle = os.open(self.path.parent, os.O_RDONLY)
        except OSError as error:
            raise _unwritten(self.path, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            asked = _read(self.path) if self.path.exists() else Asked()
            yield replace(asked, damaged=False)
        finally:
            os.close(handle)

    def _write(self, asked: Asked) -> None:
        data = asdict(asked) | {"v": VERSION}
        del data["damaged"]
        try:
            write_durably(self.path, json.dumps(data).encode() + b"\n")
        except OSError as error:
            raise _unwritten(self.path, error) from error


def _knows_date(clock: Clock) -> bool:
    return clock.wall_quality() == "ntp"


def _unwritten(path: Path, error: OSError) -> Failed:
    return Failed(
        f"{path} cannot be written: {error.strerror}",
        "stop the recorder: nothing else pauses it now",
    )


def _read(path: Path) -> Asked:
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        if data["v"] != VERSION:
            return Asked(damaged=True)
        pause = Pause(**data["pause"]) if data["pause"] else None
        if pause and pause.left_ns is not None:
            pause.left_ns + pause.noted_ns + pause.until_wall_ns  # numbers, or it's damaged
        marks = tuple(Mark(**mark) for mark in data["marks"])
        resumed = str(data["resumed_boot"]), int(data["resumed_ns"])
        return Asked(pause, marks, int(data["marked"]), int(data["forget"]), *resumed)
    except (OSError, ValueError, KeyError, TypeError):
        return Asked(damaged=True)
