"""The tokeniser: measurements of the world and of the body become a few discrete tokens.

Fitted on the training days of one release, without labels: trained codes for scenes and hands
(scene.py, latent.py), closed-form ones for motion and sound (egomotion.py, scale.py), a list of
words. It keeps all its numbers as tables; its digest goes into the lineage.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from firsthand.errors import Damaged, NotFound, Usage
from firsthand.learn.tokens.bottleneck import Tables, choose, of_prefix, part, with_prefix
from firsthand.learn.tokens.egomotion import EgoMotion, fit_egomotion
from firsthand.learn.tokens.encoders import Encoder
from firsthand.learn.tokens.eye import Look, Second, Sight
from firsthand.learn.tokens.latent import Hands, fit_hands
from firsthand.learn.tokens.places import Places, fit_places
from firsthand.learn.tokens.scale import BLANK, Scale, fit_scale
from firsthand.learn.tokens.scene import SCENE_TOKENS, Scene, fit_scene

MOST_PICTURES = 1200  # that places are fitted on
SOUND_LEVELS = (4, 3, 3)
MOST_WORDS = 1000
OTHER_WORD = "?"
LEAST_CHANGES, LEAST_PICTURES = 8, 2  # that a trained code is fitted on
FORMAT = "firsthand-tokeniser/2"
TABLES, ABOUT = "tables.safetensors", "about.json"


@dataclass
class Measured:
    """Measurements of T times: pictures [T, PICTURE] (all 0: none) and, with an encoder, its
    features [T, D]; sound [T, BANDS]; motion felt [R, FELT] and seen [R, SEEN], R = T for looks
    and 4 T for seconds; changes [2 T, 2, CHANGE] and words [T] of seconds."""

    pictures: list[np.ndarray] = field(default_factory=list)
    features: list[np.ndarray] = field(default_factory=list)
    sound: list[np.ndarray] = field(default_factory=list)
    felt: list[np.ndarray] = field(default_factory=list)
    seen: list[np.ndarray] = field(default_factory=list)
    changes: list[np.ndarray] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def sight(self, sight: Sight, features: np.ndarray | None) -> None:
        """Add what was in sight at a time."""
        self.pictures.append(sight.picture)
        if features is not None:
            self.features.append(features)

    def look(self, look: Look) -> None:
        """Add what was sensed in the second before a time."""
        self.sound.append(look.sound)
        self.felt.append(look.felt)
        self.seen.append(look.seen)

    def second(self, second: Second) -> None:
        """Add what happened in a second."""
        self.sound.append(second.sound)
        self.felt.extend(second.felt)
        self.seen.extend(second.seen)
        # Half precision: an hour of changes is 66 MB then.
        self.changes.extend(second.changes.astype(np.float16))
        self.words.append(second.word)

    def join(self, other: "Measured") -> None:
        """Add all that the other holds."""
        for name, rows in vars(self).items():
            rows.extend(getattr(other, name))


@dataclass(frozen=True)
class Tokeniser:
    """Fitted codes. What the training days did not show has none, and gives BLANK."""

    scene: Scene | None
    places: Places | None
    motion: EgoMotion
    hands: Hands | None
    sound: Scale | None
    words: tuple[str, ...]
    encoder: str = ""  # digest of the encoder whose features the scene is made of
    kind: str = ""  # of the streams that it was fitted for: "events" or "ticks"

    @property
    def tables(self) -> Tables:
        """All numbers by name; `Tokeniser.of` reads them back."""
        found = with_prefix("motion", self.motion.tables)
        if self.scene:
            found |= with_prefix("scene", self.scene.tables)
        if self.places:
            found |= with_prefix("places", self.places.tables)
        if self.hands:
            found |= with_prefix("hands", self.hands.tables)
        if self.sound:
            found |= with_prefix("sound", vars(self.sound))
        about: dict[str, Any] = {"format": FORMAT, "words": self.words, "encoder": self.encoder}
        about["kind"] = self.kind
        found["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        return {name: np.ascontiguousarray(value) for name, value in found.items()}

    @classmethod
    def of(cls, tables: Tables) -> "Tokeniser":
        """The tokeniser with these tables."""
        about = json.loads(tables["about"].tobytes())
        if about["format"] != FORMAT:
            raise Damaged(f"the tokeniser has format {about['format']!r}", "train the model again")

        def has(name: str) -> bool:
            return any(key.startswith(f"{name}.") for key in tables)

        return cls(
            Scene.of(of_prefix("scene", tables)) if has("scene") else None,
            Places(**of_prefix("places", tables)) if has("places") else None,
            EgoMotion.of(of_prefix("motion", tables) if has("motion") else {}),
            Hands.of(of_prefix("hands", tables)) if has("hands") else None,
            Scale(**of_prefix("sound", tables)) if has("sound") else None,
            tuple(about["words"]),
            about["encoder"],
            about["kind"],
        )

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides about a token."""
        return hashlib.sha256(save(self.tables)).hexdigest()

    def scenes(self, measured: Measured) -> list[tuple[str, ...]]:
        """The eight scene tokens of each picture, such as "17"."""
        return _named(*self._scene_codes(measured), SCENE_TOKENS)

    def scene_levels(self, measured: Measured) -> list[tuple[str, ...]]:
        """The same taken apart into levels. A thousand labelled actions are too few to learn
        what 25 values of a token mean: 1.76 nats an action with tokens, 1.72 with levels."""
        codes, seen = self._scene_codes(measured)
        count = 0 if self.scene is None else len(self.scene.token_levels)
        if self.scene is not None:
            width = codes.shape[1] * count  # said outright: there may be no picture at all
            codes = part(codes.reshape(-1), self.scene.token_levels).reshape(len(codes), width)
        return _named(codes, seen, SCENE_TOKENS * count)

    def _scene_codes(self, measured: Measured) -> tuple[np.ndarray, np.ndarray]:
        """Codes [T, 8] and whether there was a picture [T]."""
        seen = np.array([picture.any() for picture in measured.pictures], dtype=bool)
        codes = np.zeros((len(seen), SCENE_TOKENS), dtype=np.int64)
        if self.scene is None or not seen.any():
            return codes, np.zeros(len(seen), dtype=bool)
        rows = measured.features if self.encoder else measured.pictures
        if len(rows) != len(seen):
            raise Usage(
                "this tokeniser needs a pretrained encoder's features",
                "give the folder of the encoder that it was fitted with",
            )
        codes[seen] = self.scene.encode(np.stack(rows)[seen])
        return codes, seen

    def spots(self, measured: Measured) -> list[str]:
        """Which place each picture shows, such as p3."""
        if self.places is None or not measured.pictures:
            return [BLANK] * len(measured.pictures)
        spots = self.places.encode(np.stack(measured.pictures))
        known = zip(spots, measured.pictures, strict=True)
        return [f"p{spot}" if picture.any() else BLANK for spot, picture in known]

    def sounds(self, measured: Measured) -> list[str]:
        """One token for each sound."""
        if self.sound is None or not measured.sound:
            return [BLANK] * len(measured.sound)
        return self.sound.tokens("sound", np.stack(measured.sound))

    def motions(self, measured: Measured) -> list[str]:
        """One token for each row of motion: from motion samples, else from the pictures."""
        if not measured.felt:
            return []
        return self.motion.encode(np.stack(measured.felt), np.stack(measured.seen))

    def doings(self, measured: Measured) -> list[str]:
        """One token for each change between pictures: what hands and things did."""
        if self.hands is None or not measured.changes:
            return [BLANK] * len(measured.changes)
        return self.hands.encode(np.stack(measured.changes).astype(np.float32))

    def said(self, measured: Measured) -> list[str]:
        """Each word, or OTHER_WORD for one that is rare in the training days."""
        known = set(self.words)
        return [(word if word in known else OTHER_WORD) if word else BLANK
                for word in measured.words]  # fmt: skip

    def looks(self, measured: Measured) -> list[tuple[str, ...]]:
        """For each look its fields as `look_fields` names them."""
        parts = zip(
            self.spots(measured), self.scene_levels(measured), self.sounds(measured),
            self.motions(measured), strict=True,
        )  # fmt: skip
        return [(place, *levels, heard, moved) for place, levels, heard, moved in parts]

    @property
    def look_fields(self) -> tuple[str, ...]:
        """Names of what is known before an event."""
        count = 0 if self.scene is None else SCENE_TOKENS * len(self.scene.token_levels)
        return ("place", *(f"scene{number}" for number in range(count)), "heard", "moved")

    def seconds(self, measured: Measured) -> list[tuple[str, ...]]:
        """For each second the wearer's slots, in the order of ticks.WEARER."""
        motion, hands = self.motions(measured), self.doings(measured)
        rest = zip(self.sounds(measured), self.said(measured), strict=True)
        rows: list[tuple[str, ...]] = []
        for number, (sound, word) in enumerate(rest):
            a, b, c, d = motion[4 * number : 4 * number + 4]
            first, second = hands[2 * number : 2 * number + 2]
            rows.append((a, b, first, c, d, second, sound, word))
        return rows


def fit_tokeniser(
    measured: Measured,
    seed: int = 0,
    encoder: str = "",
    kind: str = "",
    progress: Callable[[float], None] | None = None,
) -> Tokeniser:
    """Fit on measurements of training days; the same ones and seed give the same tokeniser.

    `encoder` is the digest of the encoder that gave the features, "" for none; `kind` is kept
    with it.
    """
    tell = progress or (lambda _: None)
    seen = np.array([picture.any() for picture in measured.pictures], dtype=bool)
    scene, places = None, None
    if seen.sum() >= LEAST_PICTURES:
        pictures = np.stack(measured.pictures)[seen]
        rows = np.stack(measured.features)[seen] if encoder else pictures
        scene = fit_scene(rows, seed=seed, progress=lambda share: tell(0.5 * share))
        places = fit_places(choose(pictures, MOST_PICTURES, seed), seed)
    hands = None
    changes = [row for row in measured.changes if np.isfinite(row[0, 0])]
    if len(changes) >= LEAST_CHANGES:
        hands = fit_hands(
            np.stack(changes).astype(np.float32), seed=seed,
            progress=lambda share: tell(0.5 + 0.5 * share),
        )  # fmt: skip
    heard = [row for row in measured.sound if np.isfinite(row).all()]
    sound = fit_scale(np.stack(heard), SOUND_LEVELS) if len(heard) >= 2 else None
    if measured.felt:
        motion = fit_egomotion(np.stack(measured.felt), np.stack(measured.seen))
    else:
        motion = EgoMotion({})
    counts = Counter(word for word in measured.words if word)
    common = sorted(counts, key=lambda word: (-counts[word], word))[:MOST_WORDS]
    return Tokeniser(scene, places, motion, hands, sound, tuple(common), encoder, kind)


def _named(codes: np.ndarray, seen: np.ndarray, count: int) -> list[tuple[str, ...]]:
    blank = (BLANK,) * count
    return [tuple(map(str, row)) if ok else blank
            for row, ok in zip(codes.tolist(), seen, strict=True)]  # fmt: skip


def save_tokeniser(tokeniser: Tokeniser, folder: Path, encoder: Path | None = None) -> None:
    """Write the tables into this folder, their hash, and where the encoder's folder is."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"sha256": tokeniser.digest, "encoder": str(encoder.resolve()) if encoder else None}
    (folder / ABOUT).write_text(json.dumps(about))
    (folder / TABLES).write_bytes(save(tokeniser.tables))


def load_tokeniser(folder: Path) -> Tokeniser:
    """The tokeniser written by `save_tokeniser`. NotFound without one; Damaged where a file is
    not what was written."""
    path = folder / TABLES
    if not path.is_file():
        raise NotFound(f"there is no tokeniser in {folder}", "train the model again")
    data, said = path.read_bytes(), _about(folder)["sha256"]
    if hashlib.sha256(data).hexdigest() != said:
        raise Damaged(f"the tokeniser {path} is not what was written", "train the model again")
    try:
        return Tokeniser.of(load(data))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise Damaged(f"the tokeniser {path} cannot be read", "train the model again") from error


def encoder_folder(folder: Path, given: Path | None) -> Path | None:
    """Where the encoder of the tokeniser in this folder is: as given, else as noted."""
    noted = _about(folder)["encoder"]
    return given or (Path(noted) if noted else None)


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    try:
        said = json.loads(path.read_text())
        return {"sha256": said["sha256"], "encoder": said["encoder"]}
    except FileNotFoundError as error:
        raise NotFound(f"there is no tokeniser in {folder}", "train the model again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} cannot be read", "train the model again") from error


def check_encoder(tokeniser: Tokeniser, encoder: Encoder | None) -> None:
    """Usage unless this is the encoder that the tokeniser was fitted with, or both have none."""
    has = encoder.digest if encoder else ""
    if tokeniser.encoder != has:
        raise Usage(
            f"the tokeniser was fitted with encoder {tokeniser.encoder[:12] or 'none'}, "
            f"this one is {has[:12] or 'none'}",
            "give the folder of the same encoder, or train again",
        )
