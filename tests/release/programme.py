"""A small programme with real footage, made once and copied as often as a test wants one.

Two people with sealed two-second segments, some handed in and some still to come; each allows the
first run. Everything is the product's own; only the root's seal is cheap, shards are built in this
process, and the same cut of the same film is encoded once.
"""

import atexit
import hashlib
import io
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from wearer import NOW_NS, PASSPHRASE, SECOND_NS, Clock, Made, Wearer

from firsthand import age, auditor, config, log
from firsthand.consent import people
from firsthand.consent.capture import review
from firsthand.consent.runs import answers, approvals, proposals
from firsthand.consent.terms import consents, quiz, text
from firsthand.release import bundle, clip, make, work
from firsthand.release.recover import recover
from firsthand.shard import open_shard
from firsthand.vault import erase as _all_tables  # noqa: F401
from firsthand.vault.recover import Recovered
from firsthand.vault.vault import Vault

TRAIN, VIEW, EARN = "fh:train-general-model", "fh:human-view", "fh:commercial"
APPROVAL = "IRB-7"
NAMES = ("ana", "ben")
HOMES = ("sim", "")  # of ben's place no law is known
DAY_NS = 86_400 * 10**9
SEGMENT_S = 2
STORED, WAITING = 2, 2  # segments of each person


@cache
def film(tint: int) -> bytes:
    """Two seconds of H.264 with sound, a key frame each second."""
    out = io.BytesIO()
    options = {"movflags": "empty_moov+default_base_moof+frag_keyframe+skip_trailer"}
    with av.open(out, "w", format="mp4", options=options) as container:
        picture = container.add_stream("libx264", rate=4)
        picture.width, picture.height, picture.pix_fmt, picture.gop_size = 64, 48, "yuv420p", 4
        picture.options = {"preset": "ultrafast"}
        track = container.add_stream("aac", rate=8000, layout="mono")
        for number in range(4 * SEGMENT_S):
            image = np.full((48, 64, 3), (40 * tint % 256, number * 9, 90), np.uint8)
            container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(picture.encode(None))
        wave = np.sin(np.arange(8000 * SEGMENT_S) * (0.1 + tint / 50)).astype(np.float32)
        sound = av.AudioFrame.from_ndarray(wave[None, :], format="fltp", layout="mono")
        sound.rate, sound.pts = 8000, 0
        container.mux(track.encode(sound))
        container.mux(track.encode(None))
    return out.getvalue()


class Inline(Executor):
    """Builds each shard at once, here; `meanwhile` is called after the first."""

    def __init__(self, vault: Vault, meanwhile: Callable[[], None] | None) -> None:
        self._vault, self._meanwhile = vault, meanwhile

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:  # type: ignore[override]
        future: Future = Future()
        future.set_result(fn(*args, vault=self._vault))
        if self._meanwhile is not None:
            act, self._meanwhile = self._meanwhile, None
            act()
        return future


@dataclass
class Programme:
    """An opened copy of the programme in a folder of its own."""

    folder: Path
    vault: Vault
    clock: Clock
    people: list[people.Person]
    waiting: list[list[Made]]
    wearers: list[Wearer]
    run: str

    def reopen(self) -> None:
        """Closes the vault and opens it as another process would."""
        self.vault.close()
        self.vault = Vault(settings(self.folder), self.clock)
        for wearer in self.wearers:
            wearer.vault = self.vault

    @property
    def database(self) -> Path:
        """The file that the catalogue lies in."""
        return self.folder / "data" / "vault" / "firsthand.db"

    def recover(self, backup: Path | None) -> Recovered:
        """Loses the database, puts a backup or none in its place; what a recovery brought back."""
        self.vault.close()
        assert self.database.exists()
        for file in self.database.parent.glob("firsthand.db*"):
            file.unlink()
        if backup is not None:
            shutil.copy(backup, self.database)
        vault = Vault(settings(self.folder), self.clock, recovering=True)
        done = recover(vault)
        vault.close()
        self.reopen()
        return done

    def hand_in(self, number: int) -> bool:
        """The next waiting segment of a person; False if there is none."""
        if not self.waiting[number]:
            return False
        self.wearers[number].hand_in(self.waiting[number].pop(0))
        return True

    def hand_in_unplaced(self, number: int, session: str) -> str:
        """A segment of a device that does not know the time, placed by guess; its record's hash."""
        unknown = {"wall_ns_start": 0, "wall_ns_end": 0, "wall_quality": "none"}
        boot = {"boot_ns_start": 5 * SECOND_NS, "boot_ns_end": (5 + SEGMENT_S) * SECOND_NS}
        plain = {"video": film(number * 4), "events": b"\n"}
        made = self.wearers[number].seal(plain, session=session, **unknown, **boot)
        self.wearers[number].hand_in(made)
        return made.record.hash()

    def learn_time(self, number: int, session: str, at_ns: int) -> None:
        """A record of that session which knows the time: its segment began at at_ns."""
        boot_ns = (5 + SEGMENT_S) * SECOND_NS
        wall = {"wall_ns_start": at_ns + SEGMENT_S * SECOND_NS, "wall_ns_end": at_ns + boot_ns}
        boot = {"boot_ns_start": boot_ns, "boot_ns_end": 2 * boot_ns - SEGMENT_S * SECOND_NS}
        wearer = self.wearers[number]
        wearer.hand_in(wearer.seal({}, session=session, reason="stalled", **wall, **boot))

    def release(self, run: str, meanwhile: Callable[[], None] | None = None) -> make.Release:
        """Makes the release of a run; `meanwhile` happens between selection and publication."""

        @contextmanager
        def inline(_workers: int) -> Iterator[Executor]:
            yield Inline(self.vault, meanwhile)

        with self.vault.db.read() as connection:
            found = proposals.find(connection, run)
        before = make.processes
        make.processes = inline
        try:
            return make.make(self.vault, found)
        finally:
            make.processes = before

    def entries(self) -> tuple[list[bytes], str]:
        """The log as an outsider gets it."""
        with self.vault.db.read() as connection:
            entries = log.raw(connection, 0, log.size(connection))
        return entries, self.vault.checkpoint()

    def audit(self, release: str) -> dict[str, Any]:
        """What an outsider finds with the log, the bundle and the log's key."""
        made = bundle.make(self.vault, release)
        key = str(self.vault.keyring.log_key().public)
        return auditor.audit_release(made, *self.entries(), key)

    def check_bytes(self, release: make.Release) -> int:
        """Opens every shard: it holds the samples that its manifest names and no more. How many."""
        count = 0
        assert release.manifest is not None
        with self.vault.db.read() as connection:
            named = dict(
                connection.exec_driver_sql(
                    f"SELECT name, person FROM release_person WHERE release = '{release.id}'"
                ).all()
            )
        for entry in release.manifest["manifest"]["people"]:
            key = self.vault.keyring.release_key(release.id, named[entry["person"]])
            for shard in entry["shards"]:
                data = b"".join(self.vault.store.chunks(f"releases/{release.id}/{shard['file']}"))
                assert hashlib.sha256(data).hexdigest() == shard["sha256"]
                samples = list(open_shard(data, key))
                told = [(s["id"], s["start_ns"], s["stop_ns"]) for s in shard["samples"]]
                assert [(s.id, s.start_ns, s.stop_ns) for s in samples] == told
                for sample, row in zip(samples, shard["samples"], strict=True):
                    assert row["sound"] or not sample.meta["has_sound"]
                count += len(samples)
        return count

    def close(self) -> None:
        """Closes the vault and removes its folder."""
        self.vault.close()
        shutil.rmtree(self.folder)


def scratch() -> Path:
    """A folder in memory where there is one: thousands of vaults are made."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="firsthand-", dir=memory if memory.is_dir() else None))


def settings(folder: Path) -> config.Settings:
    return config.load(folder / "data", {}, passphrase=PASSPHRASE)


@cache
def _template() -> tuple[Path, dict[str, Any]]:
    folder = scratch()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data = config.mark(folder / "data", "real")
    (data / "vault").mkdir(mode=0o700)
    root = age.encrypt(secrets.token_bytes(32), passphrase=PASSPHRASE, scrypt_log2=1)
    (data / "vault" / "root.age").write_bytes(root)
    vault = Vault(settings(folder), Clock())
    found, wearers, waiting = [], [], []
    for number, (name, home) in enumerate(zip(NAMES, HOMES, strict=True)):
        found.append(vault.add_person(name, home))
        wearer = Wearer(vault, found[-1], f"d{number}")
        wearers.append(wearer)
        with vault.db.write() as connection:
            people.enrol(connection, found[-1], wearer.id, wearer.key.public, NOW_NS)
        sealed = []
        for each in range(STORED + WAITING):
            start_s = each * SEGMENT_S
            plain = {"video": film(number * 4 + each), "events": b"\n"}
            sealed.append(wearer.seal(plain, start_s=start_s, length_s=SEGMENT_S))
        for made in sealed[:STORED]:
            wearer.hand_in(made)
        waiting.append(sealed[STORED:])
    with vault.db.write() as connection:
        proposal = proposals.Proposal("the first", (TRAIN,), "m", "nobody", 30)
        run = proposals.propose(connection, proposal, NOW_NS)
        until_ns = NOW_NS + 5 * DAY_NS
        approvals.add(connection, APPROVAL, [TRAIN, VIEW, EARN], "the board", until_ns, NOW_NS)
        for person in found:
            expires_ns = NOW_NS + 3 * DAY_NS
            given_ns = NOW_NS
            if person.jurisdiction != "sim":  # a real one is asked, and has time to think it over
                given_ns = NOW_NS - 8 * DAY_NS
                words = text.in_force(connection)
                quiz.attest(connection, person, adult=True, own_hand=True, now_ns=given_ns)
                right = [question["right"] for question in words.questions]
                quiz.take(connection, person, words, right, given_ns)
            consents.give(connection, person, [TRAIN], expires_ns=expires_ns, now_ns=given_ns)
            answers.set_rule(connection, person, TRAIN, "yes", NOW_NS)
        for person in found:
            review.reviewed(connection, person, now_ns=NOW_NS)
    vault.close()
    return folder, {"people": found, "wearers": wearers, "waiting": waiting, "run": run.id}


def begin() -> Programme:
    """A copy of the programme, opened."""
    made_once()
    folder, held = _template()
    copy = scratch()
    shutil.copytree(folder / "data", copy / "data")
    clock = Clock()
    vault = Vault(settings(copy), clock)
    wearers = [
        Wearer(vault, each.person, each.id, each.key, each.seq, each.prev)
        for each in held["wearers"]
    ]
    waiting = [list(each) for each in held["waiting"]]
    return Programme(copy, vault, clock, held["people"], waiting, wearers, held["run"])


@cache
def made_once() -> None:
    """From here on, the same cut of the same film is encoded once."""
    work.cut_clip = cache(clip.cut_clip)  # type: ignore[assignment]
    work.picture_size = cache(clip.picture_size)  # type: ignore[assignment]
    share_statements()


def share_statements() -> None:
    """Statements that SQLAlchemy has put into SQL once serve every later engine: half the time."""
    from firsthand import db

    given, first = db._sqlite, []

    def sqlite(url: Any) -> Any:
        engine = given(url)
        if first:
            engine.dialect = first[0].dialect
            engine._compiled_cache = first[0]._compiled_cache
        first.append(engine)
        del first[1:]
        return engine

    db._sqlite = sqlite
