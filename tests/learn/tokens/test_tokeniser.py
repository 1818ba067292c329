import numpy as np
import pytest

from firsthand.errors import Damaged, NotFound, Usage
from firsthand.learn.tokens.clips import PICTURE
from firsthand.learn.tokens.egomotion import FELT, SEEN
from firsthand.learn.tokens.eye import BANDS
from firsthand.learn.tokens.latent import CHANGE
from firsthand.learn.tokens.scale import BLANK
from firsthand.learn.tokens.tokeniser import (
    OTHER_WORD,
    Measured,
    fit_tokeniser,
    load_tokeniser,
    save_tokeniser,
)

pytestmark = pytest.mark.usefixtures("few_updates")


def measured(seed=0, seconds=40):
    """Seconds in a dark and a bright room, as they were measured."""
    chance, found = np.random.default_rng(seed), Measured()
    for number in range(seconds):
        picture = 40 + 150 * (number % 2) + chance.integers(0, 30, PICTURE)
        found.pictures.append(picture.astype(np.uint8))
        found.sound.append(chance.normal(size=BANDS))
        found.felt.extend(chance.normal(size=(4, FELT)))
        found.seen.extend(np.full((4, SEEN), np.nan))
        found.changes.extend(chance.normal(size=(2, 2, CHANGE)).astype(np.float32) * 20)
        found.words.append(["", "tea", "cup"][number % 3])
    return found


@pytest.fixture(scope="module")
def tokeniser(few_updates):
    return fit_tokeniser(measured())


def test_a_second_is_eight_tokens_of_the_wearer_and_eight_of_the_scene(tokeniser):
    rows, scenes = tokeniser.seconds(measured()), tokeniser.scenes(measured())
    assert {len(row) for row in (*rows, *scenes)} == {8}
    assert all(BLANK not in row[:7] for row in rows)
    assert {int(token) for row in scenes for token in row} <= set(range(25))
    assert tokeniser.scene.vocab == (25,) * 8
    assert tokeniser.hands.vocab == 256
    assert {row[7] for row in rows} == {BLANK, "tea", "cup"}
    assert {row[2][0] for row in rows} == {"h"}


def test_where_no_action_ended_there_is_no_look_and_no_scene(tokeniser):
    assert tokeniser.looks(Measured()) == tokeniser.scene_levels(Measured()) == []


def test_a_look_tells_the_place_and_the_levels_of_the_scene(tokeniser):
    some = measured()
    some.felt, some.seen = some.felt[::4], some.seen[::4]
    rows = tokeniser.looks(some)
    assert tokeniser.look_fields == ("place", *(f"scene{n}" for n in range(16)), "heard", "moved")
    assert {len(row) for row in rows} == {19}
    assert {level for row in rows for level in row[1:17]} <= set("01234")
    dark, bright = ({row[0] for row in rows[i::2]} for i in (0, 1))
    assert not dark & bright


def test_the_same_measurements_and_seed_give_the_same_tokeniser(tokeniser, tmp_path):
    assert fit_tokeniser(measured()).digest == tokeniser.digest
    assert fit_tokeniser(measured(), seed=1).digest != tokeniser.digest
    assert fit_tokeniser(measured(seed=1)).digest != tokeniser.digest
    save_tokeniser(tokeniser, tmp_path / "t")
    again = load_tokeniser(tmp_path / "t")
    assert again.digest == tokeniser.digest
    assert again.seconds(measured()) == tokeniser.seconds(measured())


def test_what_was_not_measured_is_blank(tokeniser):
    nothing = Measured(
        [np.zeros(PICTURE, dtype=np.uint8)], [], [np.full(BANDS, np.nan)],
        [np.full(FELT, np.nan)] * 4, [np.full(SEEN, np.nan)] * 4,
        [np.full((2, CHANGE), np.nan, dtype=np.float32)] * 2, ["saucer"],
    )  # fmt: skip
    assert tokeniser.seconds(nothing) == [(BLANK,) * 7 + (OTHER_WORD,)]
    assert tokeniser.scenes(nothing) == [(BLANK,) * 8]
    assert tokeniser.spots(nothing) == [BLANK]
    # And a tokeniser that was fitted on nothing knows nothing.
    empty = fit_tokeniser(nothing)
    assert empty.seconds(measured())[0][:7] == (BLANK,) * 7
    assert empty.scenes(measured())[0] == (BLANK,) * 8


def test_a_tokeniser_that_is_missing_or_damaged_is_told(tokeniser, tmp_path):
    with pytest.raises(NotFound, match="tokeniser"):
        load_tokeniser(tmp_path / "none")
    save_tokeniser(tokeniser, tmp_path / "t")
    path = tmp_path / "t" / "tables.safetensors"
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for broken in (whole[:1000], b"", whole[:-4], flipped):
        path.write_bytes(broken)
        with pytest.raises(Damaged, match="tables") as caught:
            load_tokeniser(tmp_path / "t")
        assert caught.value.exit_code == 14
    (tmp_path / "t" / "about.json").write_text("[]")
    with pytest.raises(Damaged, match="about"):
        load_tokeniser(tmp_path / "t")


def test_features_are_needed_where_the_scene_was_made_of_features():
    some = measured()
    some.features = [np.random.default_rng(n).normal(size=20) for n in range(40)]
    tokeniser = fit_tokeniser(some, encoder="ab" * 32)
    assert {len(row) for row in tokeniser.scenes(some)} == {8}
    assert tokeniser.digest != fit_tokeniser(some, encoder="cd" * 32).digest
    with pytest.raises(Usage, match="features"):
        tokeniser.scenes(measured())
