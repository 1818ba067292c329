"""The shard: one person's part of a release in one sealed file; its reader and its grant.

A shard is a line of JSON, then a sealed tar of samples. Its key is HKDF(X, SHA-256(plain tar)),
so the same content gives the same bytes and no key seals two contents; release and person enter
it too, so that a first line that names others opens nothing. A release as a researcher
holds it is a folder: manifest.json, grant.json, shards/. Making one is release/'s work.
"""

import base64
import binascii
import hashlib
import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from firsthand.crypto import SigningKey, VerifyKey, canonical, stream_open, stream_seal
from firsthand.errors import Damaged, NotFound, Refused, Usage, WrongKey

FORMAT = "firsthand-shard/1"
MANIFEST_CONTEXT = "firsthand/manifest/v1"
# Why nothing was recorded between the sample before and this one.
GAPS = ("start", "none", "withheld", "deleted", "not_recorded", "failed")


@dataclass(frozen=True)
class Sample:
    """A stretch of released footage of one person: wall-clock bounds in ns, and its files."""

    person: str
    id: str
    start_ns: int
    stop_ns: int
    files: dict[str, bytes] = field(repr=False)

    @property
    def meta(self) -> dict[str, Any]:
        """What meta.json says: width, height, fps, has_sound, has_motion, has_events and so on."""
        return json.loads(self.files["meta.json"])


def pack_shard(samples: Iterable[Sample], release_key: bytes, release: str) -> bytes:
    """One person's samples as a sealed shard; the same samples and key give the same bytes. Usage
    unless there is one, all are of one person, and each has an id of its own."""
    listed = list(samples)
    if len({sample.person for sample in listed}) != 1:
        raise Usage("a shard holds at least one sample, all of one person")
    plain = _tar(listed)
    digest = hashlib.sha256(plain).hexdigest()
    head = {
        "format": FORMAT,
        "release": release,
        "person": listed[0].person,
        "samples": len(listed),
        "plain_sha256": digest,
        "plain_size": len(plain),
    }
    return canonical(head) + b"\n" + stream_seal(_shard_key(release_key, head), plain)


def open_shard(data: bytes, release_key: bytes) -> Iterator[Sample]:
    """The samples of a sealed shard; Damaged unless key and bytes are those it was made with."""
    head_line, _, sealed = data.partition(b"\n")
    try:
        head = json.loads(head_line)
        if head["format"] != FORMAT:
            raise Damaged(f"shard has format {head['format']!r}, this program reads {FORMAT}")
        person, key = head["person"], _shard_key(release_key, head)
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged("this is no shard") from error
    plain = stream_open(key, sealed)
    if hashlib.sha256(plain).hexdigest() != head["plain_sha256"]:
        raise Damaged(f"shard of {person} is not what its first line names")
    yield from _untar(plain, person)


def sign_manifest(manifest: dict[str, Any], key: SigningKey) -> dict[str, Any]:
    """The manifest in its signed envelope."""
    signature = base64.b64encode(key.sign(MANIFEST_CONTEXT, canonical(manifest))).decode()
    return {"manifest": manifest, "key": str(key.public), "signature": signature}


def make_grant(
    release: str,
    keys: dict[str, bytes],
    key: SigningKey,
    *,
    who: str,
    issued_s: int,
    lifetime_s: int,
) -> dict[str, Any]:
    """Leave to read one release for a while: a signed visa (GA4GH shape) and the release keys."""
    claims = {
        "iss": str(key.public),
        "sub": who,
        "iat": issued_s,
        "exp": issued_s + lifetime_s,
        "ga4gh_visa_v1": {
            "type": "ControlledAccessGrants",
            "asserted": issued_s,
            "value": f"firsthand:release/{release}",
            "source": str(key.public),
            "by": "system",
        },
        "keys_sha256": _keys_digest(keys),
    }
    body = f"{_b64url(canonical({'alg': 'EdDSA', 'typ': 'JWT'}))}.{_b64url(canonical(claims))}"
    visa = f"{body}.{_b64url(key.sign(None, body.encode()))}"
    return {"visa": visa, "keys": {p: base64.b64encode(k).decode() for p, k in keys.items()}}


def check_grant(
    grant: dict[str, Any], release: str, key: VerifyKey, now_s: int
) -> dict[str, bytes]:
    """The release keys by person, if this grant is signed, for this release, and not over."""
    try:
        body, _, signature = grant["visa"].rpartition(".")
        head, claims = (json.loads(_unb64url(part)) for part in body.split("."))
        keys = {person: base64.b64decode(value) for person, value in grant["keys"].items()}
        mark = _unb64url(signature)
        value, end = claims["ga4gh_visa_v1"]["value"], int(claims["exp"])
        algorithm, digest = head["alg"], claims["keys_sha256"]
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise Damaged("this is no grant", 'fetch one with "firsthand release pull"') from error
    if algorithm != "EdDSA":
        raise Refused("this grant names another signature algorithm than EdDSA")
    key.verify(None, body.encode(), mark)
    if value != f"firsthand:release/{release}" or digest != _keys_digest(keys):
        raise Refused("this grant is for another release", 'run "firsthand release pull" again')
    if now_s >= end:
        raise Refused(
            f"the grant for release {release} ended {now_s - end} s ago",
            'run "firsthand release pull" again; consent is asked anew',
        )
    return keys


class ReleaseReader:
    """A pulled release, its manifest verified; samples open only under a grant that still holds."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        """Reads manifest and grant; NotFound, Damaged or Refused with the reason."""
        self.folder = folder
        envelope = _load(folder / "manifest.json")
        try:
            self.key = VerifyKey.from_text(envelope["key"])
            self.manifest: dict[str, Any] = envelope["manifest"]
            signature = base64.b64decode(envelope["signature"])
            signed = canonical(self.manifest)
        except (KeyError, TypeError, ValueError, Usage) as error:
            raise Damaged(f"{folder / 'manifest.json'} is no manifest") from error
        self.key.verify(MANIFEST_CONTEXT, signed, signature)
        self._grant = _load(folder / "grant.json")
        self._now = now
        self._keys()

    @property
    def release(self) -> str:
        """The release's id."""
        return self.manifest["release"]

    @property
    def people(self) -> list[str]:
        """Those whom the grant opens, under the names that hold in this release only."""
        keys = self._keys()
        listed = [entry["person"] for entry in self.manifest["people"]]
        return [person for person in listed if person in keys]

    def samples(self, person: str) -> Iterator[Sample]:
        """One person's samples in the order lived; the grant is checked again for each shard."""
        for entry in self.manifest["people"]:
            if entry["person"] == person:
                for shard in entry["shards"]:
                    yield from self._open(person, shard)
                return
        raise NotFound(f"person {person} is not in release {self.release}")

    def _open(self, person: str, shard: dict[str, Any]) -> Iterator[Sample]:
        keys = self._keys()
        if person not in keys:
            raise WrongKey(f"the grant holds no key for person {person}")
        if not _is_name(shard["file"]):
            raise Damaged(f"the manifest names a shard {shard['file']!r}, which is no file name")
        path = self.folder / "shards" / shard["file"]
        if not path.exists():
            raise NotFound(f"{path} is missing", 'run "firsthand release pull" again')
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != shard["sha256"]:
            raise Damaged(f"{path} is not what the manifest names", "pull the release again")
        for sample in open_shard(data, keys[person]):
            if sample.person != person:
                raise Damaged(f"{path} is of {sample.person}, the manifest says {person}")
            yield sample

    def _keys(self) -> dict[str, bytes]:
        return check_grant(self._grant, self.release, self.key, int(self._now()))


def open_release(folder: Path | str) -> ReleaseReader:
    """The reader of a pulled release in `folder`."""
    return ReleaseReader(Path(folder))


def _shard_key(release_key: bytes, head: dict[str, Any]) -> bytes:
    info = canonical({name: head[name] for name in ("format", "release", "person")})
    salt = bytes.fromhex(head["plain_sha256"])
    return HKDF(SHA256(), 32, salt=salt, info=info).derive(release_key)


def _is_name(text: Any) -> bool:
    """Whether this can be written to a disk as it is, and lands where one meant it to."""
    return isinstance(text, str) and bool(re.fullmatch(r"[\w-][\w.-]{0,99}", text, re.ASCII))


def _tar(samples: list[Sample]) -> bytes:
    if len({sample.id for sample in samples}) != len(samples):
        raise Usage("two samples of a shard have the same id")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            times = {"start_ns": sample.start_ns, "stop_ns": sample.stop_ns}
            files = sample.files | {"times.json": canonical(times)}
            for name in sorted(files):
                if not (_is_name(sample.id) and _is_name(name)):
                    raise Usage(f"{sample.id}/{name} is no name for a sample's file")
                info = tarfile.TarInfo(f"{sample.id}/{name}")
                info.size = len(files[name])
                tar.addfile(info, io.BytesIO(files[name]))
    return out.getvalue()


def _untar(plain: bytes, person: str) -> Iterator[Sample]:
    found: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
            for info in tar:
                sample, _, name = info.name.partition("/")
                file = tar.extractfile(info)
                if file is None or not (info.isreg() and _is_name(sample) and _is_name(name)):
                    raise Damaged(f"shard of {person} holds {info.name!r}, no file of a sample")
                found.setdefault(sample, {})[name] = file.read()
        times = {sample: json.loads(files.pop("times.json")) for sample, files in found.items()}
    except (tarfile.TarError, ValueError, KeyError) as error:
        raise Damaged(f"shard of {person} does not hold samples") from error
    for sample, files in found.items():
        yield Sample(person, sample, times[sample]["start_ns"], times[sample]["stop_ns"], files)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        hint = 'run "firsthand release pull"'
        raise NotFound(f"{path} is missing", hint) from error
    except ValueError as error:
        raise Damaged(f"{path} is not JSON", 'run "firsthand release pull" again') from error


def _keys_digest(keys: dict[str, bytes]) -> str:
    listed = {person: base64.b64encode(key).decode() for person, key in keys.items()}
    return hashlib.sha256(canonical(listed)).hexdigest()


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
