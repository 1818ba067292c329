"""Small invented lives for the tests: habits that a model can learn, and releases of clips."""

import hashlib
import io
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from firsthand.crypto import SigningKey
from firsthand.learn.streams import Step, Stream
from firsthand.segment import MOTION
from firsthand.shard import Sample, make_grant, pack_shard, sign_manifest

ROUTINES = {
    "ann": ("fill kettle", "pour tea", "wash cup", "open door"),
    "bob": ("fill kettle", "wash cup", "pour tea", "open door"),
    "cat": ("open door", "pour tea", "fill kettle", "wash cup"),
}
DAY_NS = 86_400_000_000_000


def life(
    person: str, days: int = 4, steps: int = 30, seed: int = 0, kind: str = "events"
) -> Stream:
    """A person who mostly follows a routine of their own; one world field shows a lamp."""
    chance = np.random.default_rng([seed, len(person), ord(person[0])])
    routine, rows, place = ROUTINES[person], [], 0
    for day in range(days):
        for number in range(steps):
            lamp = "on" if chance.random() < 0.5 else "off"
            place = int(chance.integers(4)) if chance.random() < 0.2 else (place + 1) % 4
            act = "open door" if lamp == "on" and chance.random() < 0.5 else routine[place]
            start = day * DAY_NS + number * 5_000_000_000
            own = tuple(act.split())
            gap = "start" if number == 0 else "none"
            rows.append(Step(start, start + 3_000_000_000, f"day{day}", own, (lamp,), gap))
    return Stream(person, ("verb", "noun"), ("lamp",), tuple(rows), kind)


def lives(**kwargs) -> list[Stream]:
    """Three such people."""
    return [life(person, **kwargs) for person in ROUTINES]


def clip(seconds: float, bright: list[int], tone_hz: float = 440.0) -> bytes:
    """An MP4 of 4 pictures a second, the n-th of brightness bright[n], with a tone."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as target:
        picture = target.add_stream("libx264", rate=4)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        picture.options = {"preset": "veryfast", "bf": "0", "threads": "1"}
        track = target.add_stream("aac", rate=8000, layout="mono")
        for number in range(round(seconds * 4)):
            level = bright[number % len(bright)]
            rgb = np.full((48, 64, 3), level, dtype=np.uint8)
            rgb[:, : 8 + 4 * (number % 8)] //= 2
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 4)
            target.mux(picture.encode(frame))
        target.mux(picture.encode(None))
        time_s = np.arange(round(seconds * 8000)) / 8000
        pcm = (8000 * np.sin(2 * np.pi * tone_hz * time_s)).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(pcm[None], "s16", "mono")
        sound.rate, sound.pts = 8000, 0
        target.mux(track.encode(sound))
        target.mux(track.encode(None))
    return out.getvalue()


def sample(person: str, start_ns: int, seconds: int, seed: int, labelled: bool) -> Sample:
    """A sample with pictures, sound, motion and, if wanted, an action every three seconds."""
    chance = np.random.default_rng(seed)
    bright = [int(level) for level in chance.integers(20, 230, seconds * 4)]
    motion = b"".join(
        MOTION.pack(round(i * 4e7), *chance.normal(size=6)) for i in range(1, seconds * 25)
    )
    acts = [("fill", "kettle"), ("pour", "tea"), ("wash", "cup")]
    events = [
        {
            "start_ns": (3 * i + 1) * 1_000_000_000,
            "stop_ns": (3 * i + 3) * 1_000_000_000,
            "fields": dict(zip(("verb", "noun"), acts[i % 3], strict=True)),
        }
        for i in range(seconds // 3)
    ]
    face = {"start_ns": 0, "stop_ns": 10**9, "fields": {"face": "1,2,3,4"}}
    meta = {"fps": 4, "width": 64, "height": 48, "gap_before": "none"}
    files = {
        "clip.mp4": clip(seconds, bright),
        "motion.bin": motion,
        "events.json": json.dumps([face, *(events if labelled else [])]).encode(),
        "meta.json": json.dumps(meta).encode(),
    }
    name = f"{person}-{start_ns // 1_000_000_000}"
    return Sample(person, name, start_ns, start_ns + seconds * 1_000_000_000, files)


def release(folder: Path, people: dict[str, list[Sample]]) -> Path:
    """A pulled release of these samples, sealed and signed as real ones are."""
    key, listed, keys = SigningKey.generate(), [], {}
    (folder / "shards").mkdir(parents=True)
    for number, (person, samples) in enumerate(people.items()):
        keys[person] = bytes([number]) * 32
        data = pack_shard(samples, keys[person], "r1")
        (folder / "shards" / f"{person}.shard").write_bytes(data)
        shard = {"file": f"{person}.shard", "sha256": hashlib.sha256(data).hexdigest()}
        listed.append({"person": person, "shards": [shard]})
    manifest = {"release": "r1", "log_index": 7, "run": "run1", "purpose": "p", "people": listed}
    (folder / "manifest.json").write_text(json.dumps(sign_manifest(manifest, key)))
    grant = make_grant("r1", keys, key, who="w", issued_s=0, lifetime_s=10**11)
    (folder / "grant.json").write_text(json.dumps(grant))
    return folder
