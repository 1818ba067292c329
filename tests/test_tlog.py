"""Merkle hashing, proofs and checkpoints, against the published tree and against plain sums."""

import base64
import hashlib
from collections.abc import Callable

import pytest

from firsthand import tlog
from firsthand.crypto import SigningKey
from firsthand.errors import Damaged

# The eight entries of the Certificate Transparency reference tests, and the root after each.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
LEAVES += ["606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
MOST = 40


def grow(entries: list[bytes]) -> Callable[[int, int], bytes]:
    """The stored hashes of a log into which these entries were appended one by one."""
    stored: dict[tuple[int, int], bytes] = {}
    for index, entry in enumerate(entries):
        leaf = tlog.leaf_hash(entry)
        for level, place, value in tlog.new_hashes(index, leaf, lambda lv, i: stored[lv, i]):
            assert (level, place) not in stored
            stored[level, place] = value
    return lambda level, index: stored[level, index]


def naive_root(entries: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(entries) < 2:
        return hashlib.sha256(b"\0" + entries[0] if entries else b"").digest()
    half = 1
    while half * 2 < len(entries):
        half *= 2
    return hashlib.sha256(b"\1" + naive_root(entries[:half]) + naive_root(entries[half:])).digest()


ENTRIES = [f"entry {number}".encode() for number in range(MOST)]
READ = grow(ENTRIES)
ROOT = [naive_root(ENTRIES[:size]) for size in range(MOST + 1)]


def refused(check: Callable[..., None], *arguments: object) -> bool:
    try:
        check(*arguments)
    except Damaged:
        return True
    return False


def test_roots_are_those_of_the_published_eight_leaf_tree():
    entries = [bytes.fromhex(leaf) for leaf in LEAVES]
    read = grow(entries)
    assert [tlog.root(size, read).hex() for size in range(1, 9)] == ROOTS


def test_the_empty_log_has_the_hash_of_nothing_as_root():
    assert tlog.root(0, READ) == hashlib.sha256(b"").digest()


def test_roots_of_all_sizes_are_those_of_the_definition():
    assert [tlog.root(size, READ) for size in range(MOST + 1)] == ROOT


def test_every_entry_is_proven_in_every_larger_log():
    for size in range(1, MOST + 1):
        for index in range(size):
            proof = tlog.inclusion_proof(index, size, READ)
            leaf = tlog.leaf_hash(ENTRIES[index])
            tlog.verify_inclusion(leaf, index, size, proof, ROOT[size])


def test_an_inclusion_proof_holds_for_its_own_entry_place_size_and_root_only():
    for size in (1, 2, 3, 7, 8, 21, 32):
        for index in range(size):
            proof = tlog.inclusion_proof(index, size, READ)
            leaf = tlog.leaf_hash(ENTRIES[index])
            other = tlog.leaf_hash(b"another entry")
            check = tlog.verify_inclusion
            assert refused(check, other, index, size, proof, ROOT[size])
            assert refused(check, leaf, index, size, proof, ROOT[size - 1])
            assert refused(check, leaf, index, size, [*proof, other], ROOT[size])
            for place in range(size):
                if place != index:
                    assert refused(check, leaf, place, size, proof, ROOT[size])
            for at in range(len(proof)):
                assert refused(check, leaf, index, size, proof[:at] + proof[at + 1 :], ROOT[size])
                changed = [*proof[:at], other, *proof[at + 1 :]]
                assert refused(check, leaf, index, size, changed, ROOT[size])


def test_an_inner_node_does_not_pass_as_an_entry():
    left, right = (tlog.leaf_hash(entry) for entry in ENTRIES[:2])
    assert tlog.leaf_hash(left + right) != tlog.node_hash(left, right)
    # A proof one step short, with the inner node's hash in place of a leaf's.
    proof = tlog.inclusion_proof(0, 4, READ)[1:]
    assert refused(tlog.verify_inclusion, READ(1, 0), 0, 4, proof, ROOT[4])


@pytest.mark.parametrize("index", [-1, 5, 6])
def test_there_is_no_proof_for_an_entry_outside_the_log(index):
    with pytest.raises(Damaged, match="not in a log of 5"):
        tlog.inclusion_proof(index, 5, READ)
    with pytest.raises(Damaged, match="not in a log of 5"):
        tlog.verify_inclusion(tlog.leaf_hash(b""), index, 5, [], ROOT[5])


def test_every_log_is_the_head_of_every_longer_one():
    for new in range(1, MOST + 1):
        for old in range(1, new + 1):
            proof = tlog.consistency_proof(old, new, READ)
            tlog.verify_consistency(old, new, proof, ROOT[old], ROOT[new])


def test_a_consistency_proof_holds_for_its_own_sizes_and_roots_only():
    check = tlog.verify_consistency
    forged = b"f" * 32
    for new in (2, 3, 6, 8, 13, 32, 33):
        for old in range(1, new + 1):
            proof = tlog.consistency_proof(old, new, READ)
            assert refused(check, old, new, proof, forged, ROOT[new])
            assert refused(check, old, new, proof, ROOT[old], forged)
            assert refused(check, old, new, [*proof, forged], ROOT[old], ROOT[new])
            for at in range(len(proof)):
                short = proof[:at] + proof[at + 1 :]
                assert refused(check, old, new, short, ROOT[old], ROOT[new])
                changed = [*proof[:at], forged, *proof[at + 1 :]]
                assert refused(check, old, new, changed, ROOT[old], ROOT[new])


def test_a_log_with_one_entry_changed_is_not_consistent_with_the_old_root():
    for changed in range(9):
        entries = [*ENTRIES[:13]]
        entries[changed] = b"rewritten"
        proof = tlog.consistency_proof(9, 13, grow(entries))
        assert refused(tlog.verify_consistency, 9, 13, proof, ROOT[9], naive_root(entries))


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3), (-1, 3)])
def test_no_proof_begins_with_an_empty_or_longer_log(old, new):
    with pytest.raises(Damaged):
        tlog.consistency_proof(old, new, READ)
    assert refused(tlog.verify_consistency, old, new, [], ROOT[0], ROOT[3])


KEY = SigningKey.from_bytes(bytes(range(32)))
CHECKPOINT = tlog.Checkpoint("firsthand/0123", 13, ROOT[13])


def test_a_signed_checkpoint_opens_to_what_was_signed():
    note = CHECKPOINT.sign(KEY)
    assert tlog.open_checkpoint(note, "firsthand/0123", KEY.public) == CHECKPOINT


def test_a_checkpoint_is_a_c2sp_signed_note():
    text, signature = CHECKPOINT.sign(KEY).split("\n\n")
    assert text.split("\n") == ["firsthand/0123", "13", base64.b64encode(ROOT[13]).decode()]
    dash, name, mark = signature.removesuffix("\n").split(" ")
    assert (dash, name) == ("\u2014", "firsthand/0123")
    named = b"firsthand/0123\n\x01" + KEY.public.to_bytes()
    raw = base64.b64decode(mark)
    assert raw[:4] == hashlib.sha256(named).digest()[:4]
    KEY.public.verify(None, text.encode() + b"\n", raw[4:])


def test_other_signatures_on_a_note_are_passed_over():
    note = CHECKPOINT.sign(KEY)
    witness = f"\u2014 witness.example {base64.b64encode(b'w' * 68).decode()}\n"
    head, own = note.split("\n\n")
    both = f"{head}\n\n{witness}{own}"
    assert tlog.open_checkpoint(both, "firsthand/0123", KEY.public) == CHECKPOINT


def alterations() -> dict[str, str]:
    note = CHECKPOINT.sign(KEY)
    other = SigningKey.generate()
    larger = tlog.Checkpoint("firsthand/0123", 14, ROOT[14])
    return {
        "size": note.replace("\n13\n", "\n14\n"),
        "root": note.replace(base64.b64encode(ROOT[13]).decode(), "A" * 43 + "="),
        "name": note.replace("firsthand/0123", "firsthand/9999", 1),
        "line added": note.replace("\n\n", "\nextra\n\n"),
        "other key": CHECKPOINT.sign(other),
        "signature of another state": larger.body().decode() + "\n" + note.split("\n\n")[1],
        "no signature": CHECKPOINT.body().decode() + "\n",
        "not base64": note.replace("\u2014 firsthand/0123 ", "\u2014 firsthand/0123 \u00e9"),
        "no number": note.replace("\n13\n", "\nmany\n"),
        "empty": "",
    }


@pytest.mark.parametrize("what", alterations())
def test_an_altered_checkpoint_is_refused(what):
    with pytest.raises(Damaged):
        tlog.open_checkpoint(alterations()[what], "firsthand/0123", KEY.public)


def test_a_checkpoint_of_another_log_is_refused_though_the_key_is_the_same():
    note = tlog.Checkpoint("firsthand/other", 13, ROOT[13]).sign(KEY)
    with pytest.raises(Damaged):
        tlog.open_checkpoint(note, "firsthand/0123", KEY.public)


def test_a_checkpoint_of_another_log_is_refused_under_this_logs_signature_line():
    # One key, two logs: the text is of the one, the line names the other.
    text = tlog.Checkpoint("firsthand/other", 13, ROOT[13]).body()
    mark = CHECKPOINT.sign(KEY).split("\n\n")[1].split(" ")[2]
    named = base64.b64decode(mark)[:4] + KEY.sign(None, text)
    line = f"\u2014 firsthand/0123 {base64.b64encode(named).decode()}\n"
    with pytest.raises(Damaged, match="not by firsthand/0123"):
        tlog.open_checkpoint(f"{text.decode()}\n{line}", "firsthand/0123", KEY.public)
