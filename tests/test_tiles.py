"""The log as static files: what C2SP tlog-tiles, tlog-proof and tlog-cosignature ask for."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firsthand import tiles, tlog
from firsthand.crypto import SigningKey
from firsthand.errors import Damaged, NotFound

KEY, WITNESS = SigningKey(b"l" * 32), SigningKey(b"w" * 32)
ORIGIN = "firsthand/0123456789abcdef"


def written(size: int) -> tuple[dict[str, bytes], bytes]:
    """All files of a log of so many entries, and its root."""
    frontier, hashes = tlog.Frontier(), {}
    entries = [b"entry %d" % number for number in range(size)]
    for entry in entries:
        for level, place, value in frontier.append(tlog.leaf_hash(entry)):
            hashes[level, place] = value
    files = {}
    for tile in tiles.tiles_of(size):
        if tile.level == tiles.ENTRIES:
            chosen = entries[tile.start : tile.start + tile.width]
            files[tile.path] = tiles.pack_bundle(chosen)
        else:
            files[tile.path] = tiles.pack_tile(tile, lambda level, place: hashes[level, place])
    return files, frontier.root()


def test_paths_are_those_of_the_specification():
    assert tiles.Tile(0, 1_234_067, 256).path == "tile/0/x001/x234/067"
    assert tiles.Tile(1, 0, 5).path == "tile/1/000.p/5"
    assert tiles.Tile(tiles.ENTRIES, 1000, 256).path == "tile/entries/x001/000"


@given(st.integers(-1, 63), st.integers(0, 10**10), st.integers(1, 256))
def test_a_path_leads_back_to_its_tile(level, number, width):
    tile = tiles.Tile(level, number, width)
    assert tiles.parse_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        *("tile/0/0", "tile/00/000", "tile/64/000", "tile/0/000.p/0", "tile/0/000.p/256"),
        *("tile/0/x000/001", "tile/0/001/002", "tile/0/000.p/05", "tile/entries", "tile/0/../000"),
        *("tile/0/000/", "/tile/0/000", "tile/-1/000", "tile/0/000.p/5/", "tile/0/٠٠٠"),
    ],
)
def test_a_path_is_written_in_one_way_only(path):
    with pytest.raises(NotFound):
        tiles.parse_path(path)


def test_a_log_of_70_000_has_the_tiles_that_the_specification_counts():
    found = [tile for tile in tiles.tiles_of(70_000) if tile.level >= 0]
    row = [[tile for tile in found if tile.level == level] for level in range(3)]
    assert ([len(each) for each in row], len(found)) == ([274, 2, 1], 277)
    assert [each[-1].width for each in row] == [112, 17, 1]
    small = [tile for tile in tiles.tiles_of(256) if tile.level >= 0]
    assert small == [tiles.Tile(0, 0, 256), tiles.Tile(1, 0, 1)]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_root_entries_and_proofs_come_from_the_files_alone(size):
    files, root = written(size)
    read = tiles.reader(size, files.__getitem__)
    assert tlog.root(size, read) == root
    entries = list(tiles.entries_of(size, files.__getitem__))
    assert entries == [b"entry %d" % number for number in range(size)]
    for index in {0, size // 2, size - 1}:
        proof = tlog.inclusion_proof(index, size, read)
        tlog.verify_inclusion(tlog.leaf_hash(entries[index]), index, size, proof, root)
    older = max(1, size // 3)
    steps = tlog.consistency_proof(older, size, read)
    tlog.verify_consistency(older, size, steps, written(older)[1], root)


@given(st.integers(0, 300))
def test_a_growing_log_has_the_root_of_its_entries_at_every_size(size):
    frontier = tlog.Frontier()
    leaves = [tlog.leaf_hash(b"%d" % number) for number in range(size)]
    for leaf in leaves:
        frontier.append(leaf)

    def read(level: int, index: int) -> bytes:
        part = leaves[index << level : (index + 1) << level]
        while len(part) > 1:
            part = [tlog.node_hash(*part[at : at + 2]) for at in range(0, len(part), 2)]
        return part[0]

    assert frontier.root() == tlog.root(size, read)


def test_a_cut_bundle_or_a_short_tile_is_damage():
    files, _ = written(3)
    data = files["tile/entries/000.p/3"]
    for cut in range(1, len(data)):
        with pytest.raises(Damaged):
            list(tiles.entries_of(3, lambda path, cut=cut: data[:cut]))
    with pytest.raises(Damaged, match="bytes"):
        tiles.reader(3, lambda path: b"x" * 64)(0, 0)


def note(size: int = 3) -> str:
    return tlog.Checkpoint(ORIGIN, size, hashlib.sha256(b"%d" % size).digest()).sign(KEY)


def test_a_proof_is_read_back_and_bent_ones_are_not():
    proof = tiles.Proof(7, [b"a" * 32, b"b" * 32], note(), b"more")
    text = tiles.proof_text(proof)
    assert text.startswith("c2sp.org/tlog-proof@v1\nextra bW9yZQ==\nindex 7\n")
    assert tiles.open_proof(text) == proof
    assert tiles.open_proof(tiles.proof_text(tiles.Proof(0, [], note()))).hashes == []
    bent = ["", "index 7", text.replace("@v1", "@v2"), text.replace("index 7", "index 07")]
    for each in [*bent, text.replace("index", "place"), text.replace("YWFh", "YWF", 1)]:
        with pytest.raises(Damaged):
            tiles.open_proof(each)


def test_a_witness_adds_a_line_that_holds_for_this_checkpoint_and_time_only():
    signed = tiles.cosign(note(), "witness.example/w1", WITNESS, 1_679_315_147)
    assert tiles.cosigned(signed, "witness.example/w1", WITNESS.public) == 1_679_315_147
    assert tlog.open_checkpoint(signed, ORIGIN, KEY.public).size == 3
    body, mark = signed.partition("\n\n")[::2]
    moved = note(4).partition("\n\n")[0] + "\n\n" + mark
    later = tiles.cosign(note(), "witness.example/w1", WITNESS, 1).replace(body, body)
    for wrong, name, key in (
        (note(), "witness.example/w1", WITNESS.public),
        (moved, "witness.example/w1", WITNESS.public),
        (signed, "witness.example/w2", WITNESS.public),
        (signed, "witness.example/w1", KEY.public),
        (signed, ORIGIN, KEY.public),
    ):
        with pytest.raises(Damaged):
            tiles.cosigned(wrong, name, key)
    assert tiles.cosigned(later, "witness.example/w1", WITNESS.public) == 1


def test_notes_that_stand_one_after_another_are_told_apart():
    signed = tiles.cosign(note(4), "w", WITNESS, 5)
    assert list(tiles.notes(note() + signed + "\n" + note(9))) == [note(), signed, note(9)]
    assert list(tiles.notes("nothing\nsigned\n")) == []
