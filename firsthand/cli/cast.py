"""Who plays in the demo: simulated people with known habits, or one person per file of footage."""

from dataclasses import dataclass
from pathlib import Path

from firsthand.errors import NotFound

NAMES = ("ana", "ben", "cleo", "dan")
ENDINGS = {
    ".mp4", ".mov", ".m4v", ".m4s", ".mkv", ".webm", ".avi", ".ts", ".mts", ".mpg", ".mpeg",
    ".264", ".h264", ".265", ".hevc", ".ogv", ".flv", ".3gp", ".wmv", ".mp3", ".insv", ".lrv",
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How large a demo is: simulated people and days, seconds a day, seconds of fitting."""

    people: int = 4
    days: int = 5
    day_s: int = 480
    fit_s: float = 45.0


FULL = Size()
SMALL = Size(people=3, days=3, day_s=120, fit_s=6.0)


@dataclass(frozen=True)
class Player:
    """One person of the demo: their cameras in the order recorded, and whose law applies."""

    name: str
    place: str
    cameras: tuple[str, ...]


def simulated(size: Size, seed: int) -> list[Player]:
    """Simulated people; each day of each is a camera of its own."""
    return [
        Player(
            name,
            "sim",
            tuple(
                f"sim:{index}?seed={seed}&day={day}&seconds={size.day_s}"
                for day in range(size.days)
            ),
        )
        for index, name in enumerate(NAMES[: size.people])
    ]


def from_files(paths: list[Path]) -> list[Player]:
    """One person per file; folders stand for the media files in them. NotFound if there is none."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (each for each in path.iterdir() if each.suffix.lower() in ENDINGS)
            files += sorted(each for each in inside if each.is_file())
        elif path.exists():
            files.append(path)
        else:
            raise NotFound(f"there is no file or folder {path}", "check the path")
    if not files:
        raise NotFound(
            f"there is no video in {' '.join(map(str, paths))}",
            f"give files, or a folder with files that end in {', '.join(sorted(ENDINGS)[:6])} ...",
        )
    taken: set[str] = set()
    players = []
    for file in files:
        name = "".join(c for c in file.stem if c.isprintable())[:60] or "footage"
        while name in taken:
            name += "+"
        taken.add(name)
        # The place is not known, so no rule of law lets sound through.
        players.append(Player(name, "", (str(file),)))
    return players
