import numpy as np
import pytest
import torch

from firsthand.errors import Usage
from firsthand.learn.network.windows import Looks, Windows, digest_of, overlapping
from firsthand.learn.vocabulary import Codes


def numbered(person: str, steps: int, base: int = 0) -> Codes:
    """A life whose steps are numbered."""
    own = np.arange(base, base + steps)[:, None]
    flat = own[:, 0]
    return Codes(person, own, own % 7, flat, np.zeros(steps, dtype=np.int64), flat)


LIVES = [(1, numbered("ann", 50)), (2, numbered("bob", 5, 100)), (3, numbered("cat", 0))]


def test_a_loader_started_anew_gives_the_same_windows():
    first, second = (Windows(LIVES, 8, seed=4) for _ in range(2))
    for update in (0, 1, 7):
        (own, world, person), keys = first.draw(update, 6)
        again, same_keys = second.draw(update, 6)
        for a, b in zip((own, world, person, keys), (*again, same_keys), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(first.draw(0, 6)[0][0], first.draw(1, 6)[0][0])
    assert not torch.equal(first.draw(0, 6)[0][0], Windows(LIVES, 8, 5).draw(0, 6)[0][0])


def test_the_rows_of_two_processes_are_those_of_one():
    windows = Windows(LIVES, 8, seed=4)
    (own, _, person), keys = windows.draw(3, 7)
    parts = [windows.draw(3, 7, rows) for rows in (slice(0, 3), slice(3, 7))]
    assert torch.equal(torch.cat([part[0][0] for part in parts]), own)
    assert torch.equal(torch.cat([part[0][2] for part in parts]), person)
    assert torch.equal(torch.cat([part[1] for part in parts]), keys)


def test_a_window_is_consecutive_steps_of_one_life_and_a_short_life_is_repeated():
    (own, world, person), _ = Windows(LIVES, 8, seed=0).draw(0, 300)
    assert set(person.tolist()) == {1, 2}
    for row, who, seen in zip(own[..., 0], person, world[..., 0], strict=True):
        assert torch.equal(seen, row % 7)
        if who == 1:
            assert torch.equal(row, row[0] + torch.arange(8))
        else:
            assert torch.equal(row, 100 + torch.arange(8) % 5)
    share = float((person == 2).float().mean())
    assert share == pytest.approx(5 / 55, abs=0.06)  # by steps lived


def test_no_step_at_all_is_refused():
    with pytest.raises(Usage, match="no step to learn from"):
        Windows([(3, numbered("cat", 0))], 8, 0)


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 9, 12, 13, 50])
@pytest.mark.parametrize("window", [2, 5, 8])
def test_each_step_is_judged_once_with_half_a_window_of_past(steps, window):
    judged = []
    for start, counted in overlapping(steps, window):
        stop = min(start + window, steps)
        assert start == 0 or counted - start >= window // 2
        judged += range(counted, stop)
    assert judged == list(range(steps))


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_the_looks_of_all_processes_count_each_step_once_in_as_many_batches(world):
    looks = Looks([(1, numbered("ann", 50), 31), (2, numbered("bob", 5, 100), 0)], 8)
    seen, batches = [], []
    for rank in range(world):
        mine = list(looks.batches(2, rank, world))
        batches.append(len(mine))
        for (own, _, _), counts in mine:
            seen += own[..., 0][counts].tolist()
    assert len(set(batches)) == 1
    assert sorted(seen) == [*range(31, 50), *range(100, 105)]


def test_any_changed_value_changes_the_digest():
    before = digest_of(LIVES, [])
    for harm in ("own", "world"):
        changed = numbered("ann", 50)
        getattr(changed, harm)[49, 0] += 1
        assert digest_of([(1, changed), *LIVES[1:]], []) != before
    assert digest_of(LIVES, [(1, LIVES[0][1], 3)]) != digest_of(LIVES, [(1, LIVES[0][1], 4)])
    assert digest_of(LIVES, []) == before
