"""Services of systemd that record and carry home from power-on, without anyone at a terminal.

Units of their own, so that neither the network nor the vault can hold up a recording: the recorder,
which reaches no network, the uploader, which reaches no camera, and the panel: button and LED.
Before a device is enrolled a fourth waits for its invitation (invitation.py), and then never runs.
"""

import grp
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from firsthand.errors import Failed, Usage

RECORDER, UPLOADER = "firsthand-recorder.service", "firsthand-uploader.service"
PANEL, ENROLMENT = "firsthand-panel.service", "firsthand-enrolment.service"
SERVICES = (RECORDER, UPLOADER, PANEL, ENROLMENT)
PINS = range(28)  # BCM numbers on the header of a Raspberry Pi
UNITS = Path("etc/systemd/system")
ACCOUNT = Path("etc/sysusers.d/firsthand.conf")
# The unit names those of them that the machine has: by an unknown one it would never start.
GROUPS = ("video", "render", "audio", "gpio", "i2c")

_COMMON = """\
User={user}
Environment=MALLOC_ARENA_MAX=2 PYTHONDONTWRITEBYTECODE=1
ReadWritePaths={places}
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077
"""

_RECORDER = """\
# Written by "firsthand device install"; it writes this file anew.
[Unit]
Description=Firsthand recorder
# Not RequiresMountsFor: a card that fails to mount would then keep this from ever starting. The
# recorder itself refuses a folder that is not marked as a card, and is started again until it is.
After=local-fs.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=:{python} -m firsthand --data {data} record start --camera {camera}
Restart=always
RestartSec=2
# The recorder pings at most once a second, from the loop that takes the camera's samples.
WatchdogSec=30
TimeoutStartSec=60
TimeoutStopSec=10
# A Pi Zero 2 W has 512 MB, of which the camera and the GPU take 128 or more.
MemoryMax=300M
# Pictures wait in memory unsealed for a moment; swap would put them onto the card.
MemorySwapMax=0
TasksMax=64
CPUWeight=500
OOMScoreAdjust=-500
{devices}{network}{common}
[Install]
WantedBy=multi-user.target
"""

_DEVICES = """\
{groups}DevicePolicy=closed
DeviceAllow=char-video4linux rw
DeviceAllow=char-media rw
DeviceAllow=char-dma_heap rw
DeviceAllow=char-drm rw
DeviceAllow=char-alsa rw
DeviceAllow=char-gpiochip rw
DeviceAllow=char-i2c rw
"""

# It has camera and network at once, but no key and no footage yet.
_ENROLMENT = """\
# Written by "firsthand device install"; it writes this file anew.
[Unit]
Description=Firsthand enrolment
After=local-fs.target network.target
StartLimitIntervalSec=0
ConditionPathExistsGlob=!{unquoted}/devices/*/device.json

[Service]
ExecStart=:{python} -m firsthand --data {data} device enrol --wait --scan {camera}{card}
Restart=on-failure
RestartSec=10
TimeoutStopSec=10
MemoryMax=300M
MemorySwapMax=0
TasksMax=64
{devices}{common}
[Install]
WantedBy=multi-user.target
"""

_UPLOADER = """\
# Written by "firsthand device install"; it writes this file anew.
[Unit]
Description=Firsthand uploader
After=local-fs.target network.target
StartLimitIntervalSec=0

[Service]
ExecStart=:{python} -m firsthand --data {data} record upload --forever
Restart=always
RestartSec=10
TimeoutStopSec=10
# A part is held in memory: 5 MiB.
MemoryMax=120M
TasksMax=32
CPUWeight=20
IOSchedulingClass=idle
PrivateDevices=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
{common}
[Install]
WantedBy=multi-user.target
"""

_PANEL = """\
# Written by "firsthand device install"; it writes this file anew.
[Unit]
Description=Firsthand button and indicator
StartLimitIntervalSec=0

[Service]
ExecStart=:{python} -m firsthand --data {data} device panel{pins}
Restart=always
RestartSec=2
TimeoutStopSec=10
MemoryMax=100M
TasksMax=32
OOMScoreAdjust=-500
{groups}DevicePolicy=closed
DeviceAllow=char-gpiochip rw
RestrictAddressFamilies=AF_UNIX AF_NETLINK
IPAddressDeny=any
{common}
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Plan:
    """What is installed: which camera, where keys and card lie, who records, on which pins."""

    camera: str
    data: Path
    card: Path
    user: str
    python: str = sys.executable
    button: int | None = None
    led: int | None = None
    haptic: int | None = None
    enrol: bool = False  # wait to be enrolled, if that is still to come

    def files(self, root: Path) -> dict[Path, str]:
        """Every file to be written, relative to the root."""
        for name, value in (("camera", self.camera), ("user", self.user)):
            if not value or not value.isprintable():
                raise Usage(f"{value!r} is no {name}")
        named = {"button": self.button, "led": self.led, "haptic": self.haptic}
        pins = {name: pin for name, pin in named.items() if pin is not None}
        if set(pins.values()) - set(PINS) or len(set(pins.values())) < len(pins):
            raise Usage(
                "pins are different numbers from 0 to 27", "count them as BCM does (see docs)"
            )
        paths = (self.data, self.card, Path(self.python))
        at_home = any(path.parts[1:2] in (("home",), ("root",)) for path in paths)
        groups = [name for name in GROUPS if name in _names(root / "etc/group", grp.getgrall)]
        # A camera on the network needs it; no other one does, so footage can't leave that way.
        online = "://" in self.camera
        values = {
            "user": self.user,
            "python": _quoted(self.python),
            "data": _quoted(self.data),
            # "-": a card that is not there yet must not keep the service from saying so
            "places": " ".join(_quoted(f"-{path}") for path in (self.data, self.card)),
            "camera": _quoted(self.camera),
            "home": "read-only" if at_home else "yes",
            "groups": f"SupplementaryGroups={' '.join(groups)}\n" if groups else "",
            "network": "RestrictAddressFamilies=AF_UNIX AF_NETLINK"
            + (" AF_INET AF_INET6\n" if online else "\nIPAddressDeny=any\n"),
        }
        values["pins"] = "".join(f" --{name} {pin}" for name, pin in pins.items())
        values["common"] = _COMMON.format(**values)
        values["devices"] = _DEVICES.format(**values)
        values["unquoted"] = str(self.data).replace("%", "%%")
        elsewhere = self.data not in self.card.parents
        values["card"] = f" --card {_quoted(self.card)}" if elsewhere else ""
        found = {
            UNITS / RECORDER: _RECORDER.format(**values),
            UNITS / UPLOADER: _UPLOADER.format(**values),
        }
        if pins:
            found[UNITS / PANEL] = _PANEL.format(**values)
        if self.enrol:
            found[UNITS / ENROLMENT] = _ENROLMENT.format(**values)
        if (root / ACCOUNT).exists() or not _exists(root, self.user):
            found[ACCOUNT] = f'u {self.user} - "Firsthand recorder"\n'
        return found


def install(
    plan: Plan, root: Path = Path("/"), run: Callable[[list[str]], None] | None = None
) -> list[str]:
    """Writes what differs below a root and returns its names; `run` starts it, None does not.

    Doing it again changes nothing. Failed if it is not allowed, or systemd is not there.
    """
    files = plan.files(root)
    written = [path for path, text in files.items() if _write(root / path, text)]
    names = [path.name for path in files if path.suffix == ".service"]
    for name in names:
        wanted = root / UNITS / "multi-user.target.wants" / name
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if not wanted.is_symlink():
            wanted.symlink_to(f"/{UNITS}/{name}")
    if run:
        if (root / ACCOUNT).exists():
            run(["systemd-sysusers", str(root / ACCOUNT)])
        for folder in (plan.data, plan.card):
            _give(folder, plan.user)
        if written:
            run(["systemctl", "daemon-reload"])
        # "restart" also starts what is not running; unchanged units only make sure of that.
        run(["systemctl", "restart" if written else "start", *names])
    return [f"/{path}" for path in written]


def remove(root: Path = Path("/"), run: Callable[[list[str]], None] | None = None) -> list[str]:
    """Stops the services and removes what `install` wrote; account, keys and footage stay."""
    found = [name for name in SERVICES if (root / UNITS / name).exists()]
    if found and run:
        run(["systemctl", "stop", *found])
    for name in found:
        (root / UNITS / "multi-user.target.wants" / name).unlink(missing_ok=True)
        (root / UNITS / name).unlink()
    if found and run:
        run(["systemctl", "daemon-reload"])
    return [f"/{UNITS}/{name}" for name in found]


def command(arguments: list[str]) -> None:
    """Runs a command of the system; Failed with what it said."""
    try:
        subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=120)
    except FileNotFoundError as error:
        raise Failed(f"{arguments[0]} is not here", "this needs a machine with systemd") from error
    except subprocess.SubprocessError as error:
        told = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1:]
        raise Failed(
            f'"{" ".join(arguments)}" failed: {" ".join(told)}', 'see "journalctl -u firsthand-*"'
        ) from error


def _write(path: Path, text: str) -> bool:
    """Replaces a file that differs, as a whole; says whether it did."""
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".new")
        draft.write_text(text, encoding="utf-8")
        draft.chmod(0o644)
        draft.replace(path)
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror}", "run it as root: sudo") from error
    return True


def _quoted(value: object) -> str:
    """A word of a unit file, whatever it holds."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if set(text) & set(" '\"\\;#") else text


def _names(file: Path, listed: Callable[[], list]) -> set[str]:  # type: ignore[type-arg]
    if file.exists():
        return {line.split(":")[0] for line in file.read_text().splitlines()}
    return {entry[0] for entry in listed()}


def _exists(root: Path, user: str) -> bool:
    return user in _names(root / "etc/passwd", pwd.getpwall)


def _give(folder: Path, user: str) -> None:
    """Makes an account the owner of a folder and all in it; enrolment may have run as root."""
    try:
        account = pwd.getpwnam(user)
        for place, _, names in os.walk(folder):
            for path in (place, *(os.path.join(place, name) for name in names)):
                os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    except (OSError, KeyError) as error:
        raise Failed(f"cannot give {folder} to {user}: {error}", "check that it exists") from error
