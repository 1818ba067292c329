"""Versioned consent texts; a consent is bound to the hash of the exact words."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from firsthand.errors import NotFound

CURRENT = "1"


@dataclass(frozen=True)
class Text:
    """One version of the words that people consent to."""

    version: str
    words: str

    @property
    def sha256(self) -> str:
        """Hash of the words, in hexadecimal."""
        return hashlib.sha256(self.words.encode()).hexdigest()


def read_text(version: str = CURRENT) -> Text:
    """The text of this version; NotFound if there is none."""
    file = files("firsthand.consent.terms") / "texts" / f"{version}.md"
    if not version.isalnum() or not file.is_file():
        raise NotFound(f"there is no consent text of version {version!r}", f"current: {CURRENT}")
    return Text(version, file.read_text(encoding="utf-8"))
