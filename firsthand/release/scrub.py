"""The default scrubber: the whole picture is made too coarse to know anybody by face.

It looks for nothing, so there is no face that it overlooks; what it leaves is stated per release.
Detectors are another `Scrubber`, with a model file of the operator's.
"""

from dataclasses import dataclass
from typing import Protocol

# People stop telling faces apart between 18 and 15 pixels a face (Bachmann 1991, European Journal
# of Cognitive Psychology 3:1). Ours counts as hidden only below 12.
HIDDEN_BELOW_PX = 12.0


class Scrubber(Protocol):
    """Says at which size a picture is released; name and version go into the manifest."""

    @property
    def name(self) -> str:
        """Name in the manifest."""
        ...

    @property
    def version(self) -> int:
        """Changes whenever its output does."""
        ...

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Released width and height, even numbers of pixels, of a picture of this size."""
        ...

    def hides(self, face_width: float, width: int, height: int) -> bool:
        """Whether a face this many pixels wide in the original is beyond recognition."""
        ...


@dataclass(frozen=True)
class Coarse:
    """Reduces the picture to at most 64 x 64 pixels."""

    most_px: int = 64
    name: str = "coarse"
    version: int = 1

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Released width and height of a picture of this size; never larger than it was."""
        scale = min(1.0, self.most_px / max(width, height))
        return (max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2))

    def hides(self, face_width: float, width: int, height: int) -> bool:
        """Whether the face keeps fewer than 12 pixels across."""
        return face_width * self.size(width, height)[0] / width < HIDDEN_BELOW_PX


def statement(scrubber: Scrubber, faces: int, hidden: int) -> str:
    """What the scrubber did and did not do, in a sentence or two that a person can check."""
    measured = (
        f"{hidden} of {faces} labelled faces were left with fewer than {HIDDEN_BELOW_PX:.0f} "
        f"pixels across (recall {hidden / faces:.3f})"
        if faces
        else "its recall was not measured: this footage has no labelled faces"
    )
    return (
        f"Scrubber {scrubber.name} {scrubber.version} made every picture coarse and looked for "
        f"nothing; {measured}. Voices, gait, rooms and habits stay recognisable."
    )
