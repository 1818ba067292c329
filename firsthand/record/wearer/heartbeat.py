"""What the recorder does at this moment, so that others can tell, and tell when it is dead.

    state.json   in the device's folder, replaced about twice a second by the recorder; not synced:
                 after a power cut nothing is being recorded anyway

Only `recording`, from a living process of this boot, and not older than STALE_S, means that what
the camera sees is kept. Everything else means that it isn't.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from firsthand.record.clock import Clock
from firsthand.record.durable import FILE_MODE
from firsthand.record.wearer.control import Control

VERSION = 1
BEAT_S = 0.5
STALE_S = 3.0
# recording; the words of a gap's reason (paused, stalled, full, hot, battery); stopped
RECORDING, STOPPED, SILENT = "recording", "stopped", "silent"


@dataclass(frozen=True)
class Beat:
    """One beat: what is done, by which process, and where the recording's own clock stands."""

    doing: str
    pid: int
    begun: str  # when the process began, by the system; a number alone may be another's by now
    boot_id: str
    boot_ns: int
    session: str
    time_ns: int  # of the last sample, by the recording's clock
    why: str = ""  # it stopped
    v: int = VERSION


class Heart:
    """Beats for one recorder."""

    def __init__(self, folder: Path, session: str, clock: Clock | None = None) -> None:
        self._path = Path(folder) / "state.json"
        self._session = session
        self._clock = clock or Clock()
        self._begun = _begun(os.getpid())
        self._last: Beat | None = None
        self._time_ns = 0

    def beat(self, doing: str, time_ns: int) -> None:
        """Say what is being done; at once if that changed, else at most each BEAT_S."""
        self._time_ns = time_ns
        now_ns, last = self._clock.boot_ns(), self._last
        if last is None or last.doing != doing or now_ns - last.boot_ns >= BEAT_S * 1e9:
            self._put(doing, now_ns)

    def stop(self, why: str = "") -> None:
        """Say that no more is recorded, and why, unless it was asked for."""
        if self._last:
            self._put(STOPPED, self._clock.boot_ns(), why)

    def _put(self, doing: str, now_ns: int, why: str = "") -> None:
        boot_id = self._last.boot_id if self._last else self._clock.boot_id()
        who = (os.getpid(), self._begun, boot_id)
        self._last = Beat(doing, *who, now_ns, self._session, self._time_ns, why)
        with contextlib.suppress(OSError):  # a full card: the last beat grows stale, which is true
            _replace(self._path, json.dumps(asdict(self._last)).encode())


def last_beat(folder: Path) -> Beat | None:
    """The last beat, of whatever boot and process; None if there is none that can be read."""
    try:
        beat = Beat(**json.loads((Path(folder) / "state.json").read_bytes()))
        return beat if beat.v == VERSION else None
    except (OSError, ValueError, TypeError):
        return None


def doing(folder: Path, clock: Clock | None = None) -> str:
    """What is done with what the camera sees now; `silent`: the recorder lives but says nothing."""
    clock = clock or Clock()
    beat = last_beat(folder)
    if beat is None or beat.doing == STOPPED or beat.boot_id != clock.boot_id():
        return STOPPED
    if not beat.begun or _begun(beat.pid) != beat.begun:
        return STOPPED
    if not 0 <= clock.boot_ns() - beat.boot_ns <= STALE_S * 1e9:
        return SILENT
    return beat.doing


def truth(folder: Path, control: Control) -> str:
    """The same, with the wearer's word: a recorder that hasn't heard it yet keeps nothing more."""
    word = doing(folder, control.clock)
    return "paused" if word == RECORDING and control.paused() else word


def _begun(pid: int) -> str:
    """When a living process began, in the system's own words; empty for a dead one."""
    try:
        # After the name, which may hold spaces: state is the first, the start time the 20th.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return ""
    with contextlib.suppress(OSError):  # no /proc (macOS): all that can be asked is its number
        os.kill(pid, 0)
        return "alive"
    return ""


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(path.name + ".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(handle, "wb", buffering=0) as file:
        file.write(data)
    os.replace(draft, path)
