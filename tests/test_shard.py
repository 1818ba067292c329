"""Shards, manifests and grants: the same content gives the same bytes, and only the right keys."""

import base64
import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firsthand import shard
from firsthand.crypto import SigningKey, canonical, stream_seal
from firsthand.errors import Damaged, Error, NotFound, Refused, Usage, WrongKey
from firsthand.shard import Sample, open_shard, pack_shard

KEY = SigningKey.from_bytes(bytes(range(32)))
X = bytes(range(32))
NOW_S = 1_793_520_000
META = {"width": 64, "height": 48, "has_sound": False, "gap_before": "start"}


def sample(number: int, person: str = "a", **files: bytes) -> Sample:
    named = {"clip.mp4": b"clip%d" % number * 50, "meta.json": canonical(META)}
    named |= {name.replace("_", "."): data for name, data in files.items()}
    return Sample(person, f"day-{number:04d}", number * 10, number * 10 + 9, named)


SAMPLES = [sample(1), sample(2, motion_bin=b"\0" * 64), sample(3)]
SHARD = pack_shard(SAMPLES, X, "rel1")


def outcome(data: bytes, key: bytes = X) -> list[Sample]:
    return list(open_shard(data, key))


def test_samples_come_back_in_order_with_their_files_and_times():
    assert outcome(SHARD) == SAMPLES
    assert outcome(SHARD)[0].meta == META


names = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,20}", fullmatch=True)
files = st.dictionaries(names.filter(lambda n: n != "times.json"), st.binary(), max_size=3)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(names, files, min_size=1, max_size=4), st.binary(min_size=32, max_size=32))
def test_any_samples_come_back_and_give_the_same_bytes_again(content, key):
    samples = [Sample("a", name, 1, 2, each) for name, each in content.items()]
    data = pack_shard(samples, key, "rel1")
    assert outcome(data, key) == samples
    assert pack_shard(samples, key, "rel1") == data


def test_the_order_in_which_files_were_added_does_not_show():
    turned = [replace(each, files=dict(reversed(each.files.items()))) for each in SAMPLES]
    assert pack_shard(turned, X, "rel1") == SHARD


def test_nothing_of_the_maker_or_its_clock_is_in_a_shard(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 5.0)
    monkeypatch.setattr("os.getuid", lambda: 77)
    assert pack_shard(SAMPLES, X, "rel1") == SHARD


def test_content_is_not_readable_in_a_shard():
    assert b"clip1clip1" not in SHARD
    assert b"day-0001" not in SHARD


def test_different_content_person_or_release_never_share_a_key(monkeypatch):
    keys = []
    seal = shard.stream_seal
    monkeypatch.setattr(shard, "stream_seal", lambda key, data: keys.append(key) or seal(key, data))
    pack_shard(SAMPLES, X, "rel1")
    pack_shard(SAMPLES, X, "rel2")
    pack_shard(SAMPLES, X[::-1], "rel1")
    pack_shard(SAMPLES[:2], X, "rel1")
    pack_shard([replace(each, person="b") for each in SAMPLES], X, "rel1")
    assert len(set(keys)) == 5


def test_another_key_opens_nothing():
    with pytest.raises((Damaged, WrongKey)):
        outcome(SHARD, bytes(32))


def test_a_flipped_bit_anywhere_is_found():
    places = [*range(0, SHARD.index(b"\n") + 1), *range(SHARD.index(b"\n") + 1, len(SHARD), 61)]
    for at in places:
        changed = bytearray(SHARD)
        changed[at] ^= 1
        try:
            got = outcome(bytes(changed))
        except Error:
            continue
        # Sample count and size stand in the first line for show; the samples are as they were.
        head = json.loads(changed[: changed.index(b"\n")])
        assert got == SAMPLES
        assert head["release"] == "rel1"
        assert head["person"] == "a"


@pytest.mark.parametrize("cut", [1, 16, 100, len(SHARD) // 2, len(SHARD) - 1, len(SHARD)])
def test_a_shard_that_is_cut_off_is_refused(cut):
    with pytest.raises(Damaged):
        outcome(SHARD[: len(SHARD) - cut])


def test_bytes_after_a_shard_are_refused():
    with pytest.raises(Damaged):
        outcome(SHARD + b"\0")


@pytest.mark.parametrize(
    "change",
    [
        {"person": "b"},
        {"release": "rel2"},
        {"plain_sha256": "00" * 32},
        {"plain_sha256": "xyz"},
        {"plain_sha256": 5},
        {"format": "firsthand-shard/2"},
        {"format": None},
        {"person": 1.5},
    ],
)
def test_a_shard_with_a_changed_first_line_opens_to_nothing(change):
    line, _, sealed = SHARD.partition(b"\n")
    head = json.loads(line) | change
    with pytest.raises((Damaged, Usage)):
        outcome(json.dumps(head).encode() + b"\n" + sealed)


@pytest.mark.parametrize("data", [b"", b"\n", b"[]\n", b"{}\n", b"7\n\n", b"\xff\n", b"null"])
def test_nonsense_is_no_shard(data):
    with pytest.raises(Damaged):
        outcome(data)


def forged(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    """A shard with a tar of our making, sealed with the right key."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(data))
    plain = out.getvalue()
    head: dict[str, Any] = {"format": shard.FORMAT, "release": "rel1", "person": "a"}
    head |= {"plain_sha256": hashlib.sha256(plain).hexdigest()}
    return canonical(head) + b"\n" + stream_seal(shard._shard_key(X, head), plain)


TIMES = canonical({"start_ns": 1, "stop_ns": 2})


def test_the_forger_of_these_tests_makes_shards_that_open():
    assert outcome(forged({"s1/times.json": TIMES, "s1/x": b"y"}))[0].files == {"x": b"y"}


@pytest.mark.parametrize(
    "name",
    [
        "../times.json",
        "../../etc/cron.d/times.json",
        "/etc/times.json",
        "s1/../../times.json",
        "s1/a/times.json",
        ".hidden/times.json",
        "s1/.bashrc",
        "s1",
        "s1/",
        "s 1/times.json",
        "s1/times.json\n",
        "s\\1/times.json",
    ],
)
def test_a_tar_with_a_path_that_leads_elsewhere_is_refused(name):
    with pytest.raises(Damaged):
        outcome(forged({"s1/times.json": TIMES, name: TIMES}))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
def test_a_tar_with_a_link_or_device_is_refused(kind):
    with pytest.raises(Damaged):
        outcome(forged({"s1/times.json": TIMES}, kind))


def test_a_tar_without_times_is_refused():
    with pytest.raises(Damaged):
        outcome(forged({"s1/clip.mp4": b"x"}))


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", ".x", "a b", "x" * 101, "é", "a\n"])
def test_a_sample_or_file_with_a_path_for_a_name_is_not_packed(name):
    with pytest.raises(Usage):
        pack_shard([replace(SAMPLES[0], id=name)], X, "rel1")
    with pytest.raises(Usage):
        pack_shard([replace(SAMPLES[0], files={name: b""})], X, "rel1")


def test_a_shard_is_of_one_person_and_each_sample_in_it_once():
    for samples in ([], [sample(1), sample(2, "b")], [sample(1), sample(1)]):
        with pytest.raises(Usage):
            pack_shard(samples, X, "rel1")


# --- grants


def grant(**changes: Any) -> dict[str, Any]:
    values = {"release": "rel1", "keys": {"a": X, "b": X[::-1]}, "key": KEY, "who": "lab"}
    return shard.make_grant(**(values | {"issued_s": NOW_S, "lifetime_s": 60} | changes))


def check(given: Any, release: str = "rel1", now_s: int = NOW_S) -> dict[str, bytes]:
    return shard.check_grant(given, release, KEY.public, now_s)


def test_a_grant_gives_the_keys_until_it_ends():
    for now_s in (NOW_S, NOW_S + 59):
        assert check(grant(), now_s=now_s) == {"a": X, "b": X[::-1]}
    for now_s in (NOW_S + 60, NOW_S + 10**6):
        with pytest.raises(Refused, match="ended"):
            check(grant(), now_s=now_s)


def test_a_grant_for_another_release_is_refused():
    with pytest.raises(Refused, match="another release"):
        check(grant(release="rel2"))
    with pytest.raises(Refused, match="another release"):
        check(grant(), release="rel11")


def test_a_grant_by_another_key_is_refused():
    with pytest.raises(Damaged):
        check(grant(key=SigningKey.generate()))


def swapped(given: dict[str, Any]) -> dict[str, str]:
    return {"a": given["keys"]["b"], "b": given["keys"]["a"]}


def test_keys_cannot_be_swapped_added_or_taken_out_of_a_grant():
    given = grant()
    for keys in (
        swapped(given),
        given["keys"] | {"c": base64.b64encode(X).decode()},
        {"a": given["keys"]["a"]},
        {},
    ):
        with pytest.raises(Refused):
            check(given | {"keys": keys})


def test_a_visa_is_a_signed_json_web_token_in_ga4gh_shape():
    head, claims, _ = grant()["visa"].split(".")
    read = [json.loads(base64.urlsafe_b64decode(text + "==")) for text in (head, claims)]
    assert read[0] == {"alg": "EdDSA", "typ": "JWT"}
    assert (read[1]["iat"], read[1]["exp"], read[1]["sub"]) == (NOW_S, NOW_S + 60, "lab")
    assert read[1]["ga4gh_visa_v1"]["value"] == "firsthand:release/rel1"


def altered_visa(change: dict[str, Any], head: Any = None, sign: bool = False) -> dict[str, Any]:
    given = grant()
    texts = given["visa"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(texts[1] + "==")) | change
    texts[1] = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    if head is not None:
        texts[0] = base64.urlsafe_b64encode(json.dumps(head).encode()).decode().rstrip("=")
    if sign:
        mark = KEY.sign(None, ".".join(texts[:2]).encode())
        texts[2] = base64.urlsafe_b64encode(mark).decode().rstrip("=")
    return given | {"visa": ".".join(texts)}


def test_the_end_of_a_grant_cannot_be_put_off():
    with pytest.raises(Damaged):
        check(altered_visa({"exp": NOW_S + 10**9}), now_s=NOW_S + 61)


def test_a_grant_that_asks_for_no_signature_is_refused():
    for head in ({"alg": "none"}, {"alg": "HS256"}, {}, [], "EdDSA", None):
        with pytest.raises((Damaged, Refused)):
            check(
                altered_visa({"exp": NOW_S + 999}, head={"alg": "none"} if head is None else head)
            )
    with pytest.raises(Refused):
        check(altered_visa({}, head={"alg": "none"}, sign=True))


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        {},
        {"visa": "a.b.c", "keys": {}},
        {"visa": "", "keys": {}},
        {"visa": 5, "keys": {}},
        {"visa": "a.b.c.d.e", "keys": {}},
        {"visa": grant()["visa"], "keys": None},
        {"visa": grant()["visa"], "keys": {"a": 5}},
        {"visa": grant()["visa"], "keys": {"a": "é"}},
        altered_visa({"exp": "soon"}, sign=True),
        altered_visa({"ga4gh_visa_v1": 5}, sign=True),
    ],
)
def test_nonsense_is_no_grant(given):
    with pytest.raises((Damaged, Refused)):
        check(given)


# --- a pulled release


def write(folder: Path, name: str, value: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())


KEYS = {"a": X, "b": X[::-1]}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    people = []
    for person, key in KEYS.items():
        rows = []
        for number in (1, 2):
            data = pack_shard([sample(number, person)], key, "rel1")
            write(tmp_path / "shards", f"{person}.{number}.shard", data)
            digest = hashlib.sha256(data).hexdigest()
            rows.append({"file": f"{person}.{number}.shard", "sha256": digest})
        people.append({"person": person, "shards": rows})
    manifest = {"release": "rel1", "people": people}
    write(tmp_path, "manifest.json", shard.sign_manifest(manifest, KEY))
    write(tmp_path, "grant.json", grant(lifetime_s=60))
    return tmp_path


def reader(folder: Path, now_s: float = NOW_S) -> shard.ReleaseReader:
    return shard.ReleaseReader(folder, lambda: now_s)


def change_manifest(folder: Path, key: SigningKey | None, **changes: Any) -> None:
    envelope = json.loads((folder / "manifest.json").read_text())
    manifest = envelope["manifest"] | changes
    signed = (
        envelope | {"manifest": manifest} if key is None else shard.sign_manifest(manifest, key)
    )
    write(folder, "manifest.json", signed)


def test_a_pulled_release_gives_each_persons_samples(release):
    found = reader(release)
    assert (found.release, found.people) == ("rel1", ["a", "b"])
    for person in found.people:
        assert list(found.samples(person)) == [sample(1, person), sample(2, person)]


def test_nobody_else_is_in_a_release(release):
    with pytest.raises(NotFound, match="person c"):
        list(reader(release).samples("c"))


def test_an_altered_manifest_is_refused(release):
    people = json.loads((release / "manifest.json").read_text())["manifest"]["people"]
    for changes in ({"release": "rel2"}, {"people": people[:1]}, {"extra": 1}, {"extra": 1.5}):
        folder = release
        before = (folder / "manifest.json").read_bytes()
        change_manifest(folder, None, **changes)
        with pytest.raises(Damaged):
            reader(folder)
        (folder / "manifest.json").write_bytes(before)


def test_a_manifest_signed_anew_by_another_does_not_fit_the_grant(release):
    change_manifest(release, SigningKey.generate())
    with pytest.raises(Damaged):
        reader(release)


def test_a_release_is_closed_once_the_grant_has_ended(release):
    with pytest.raises(Refused, match="ended"):
        reader(release, NOW_S + 60)


def test_the_grant_is_checked_again_for_each_shard(release):
    now = [NOW_S]
    samples = shard.ReleaseReader(release, lambda: now[0]).samples("a")
    assert next(samples).id == "day-0001"
    now[0] += 60
    with pytest.raises(Refused, match="ended"):
        next(samples)


def test_a_grant_without_a_persons_key_opens_nothing_of_theirs(release):
    write(release, "grant.json", grant(keys={"a": X}))
    assert len(list(reader(release).samples("a"))) == 2
    with pytest.raises(WrongKey, match="person b"):
        list(reader(release).samples("b"))


def test_a_grant_with_keys_swapped_by_its_maker_opens_nothing(release):
    write(release, "grant.json", grant(keys={"a": X[::-1], "b": X}))
    for person in ("a", "b"):
        with pytest.raises((Damaged, WrongKey)):
            list(reader(release).samples(person))


def test_a_changed_or_missing_shard_is_named(release):
    (release / "shards" / "a.1.shard").unlink()
    with pytest.raises(NotFound, match=r"a\.1\.shard"):
        list(reader(release).samples("a"))
    path = release / "shards" / "b.1.shard"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match=r"b\.1\.shard"):
        list(reader(release).samples("b"))


def test_a_persons_shard_does_not_pass_as_anothers(release):
    manifest = json.loads((release / "manifest.json").read_text())["manifest"]
    people = [manifest["people"][0] | {"shards": manifest["people"][1]["shards"]}]
    change_manifest(release, KEY, people=people)
    write(release, "grant.json", grant(keys={"a": X[::-1]}))  # and the key would fit
    with pytest.raises(Damaged, match="the manifest says a"):
        list(reader(release).samples("a"))


@pytest.mark.parametrize(
    "name", ["../grant.json", "/etc/passwd", "..", "", ".", "a/../../x", "shards/a.1.shard", 5]
)
def test_a_manifest_that_names_a_path_is_refused(release, name):
    rows = [{"person": "a", "shards": [{"file": name, "sha256": "00" * 32}]}]
    change_manifest(release, KEY, people=rows)
    with pytest.raises(Damaged, match="no file name"):
        list(reader(release).samples("a"))


@pytest.mark.parametrize("name", ["manifest.json", "grant.json"])
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'"x"', b"\xff\xfe", b'{"key":"ed25519:x"}']
)
def test_a_folder_with_nonsense_is_refused_with_an_error_of_ours(release, name, content):
    (release / name).write_bytes(content)
    with pytest.raises(Damaged):
        reader(release)


@pytest.mark.parametrize("name", ["manifest.json", "grant.json"])
def test_a_folder_that_was_not_pulled_whole_says_so(release, name):
    (release / name).unlink()
    with pytest.raises(NotFound, match=name):
        reader(release)
