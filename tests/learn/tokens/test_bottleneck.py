import numpy as np
import pytest
import torch

from firsthand.errors import Damaged, Usage
from firsthand.learn.tokens.bottleneck import (
    Coder,
    choose,
    fit_basis,
    fit_bottleneck,
    join,
    of_prefix,
    part,
)

LEVELS = (5, 3, 2)


def rows(count=300, seed=0):
    """Rows on a curve of three hidden numbers, in six."""
    hidden = np.random.default_rng(seed).uniform(-1, 1, (count, 3)) * (1.5, 1.0, 0.7)
    return np.concatenate([hidden, 0.5 * hidden**2], axis=1)


@pytest.fixture(scope="module")
def fitted():
    return fit_bottleneck(rows(), rows(), LEVELS, updates=40)


def test_a_code_tells_unseen_rows_better_than_their_mean_and_keeps_to_its_levels():
    fitted = fit_bottleneck(rows(), rows(), LEVELS, updates=300)
    new = rows(seed=1)
    digits = fitted.encode(new)
    assert digits.min() >= 0
    assert (digits.max(0) <= np.array(LEVELS) - 1).all()
    left = ((fitted.decode(digits) - new) ** 2).sum(1).mean()
    assert left < 0.35 * ((new - rows().mean(0)) ** 2).sum(1).mean()


def test_the_same_rows_and_seed_give_the_same_tables(fitted):
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    again = fit_bottleneck(rows(), rows(), LEVELS, updates=40)
    assert torch.rand(1) == before  # the chance of others is left as it was
    assert all(np.array_equal(again.tables[n], v) for n, v in fitted.tables.items())
    other = fit_bottleneck(rows(), rows(), LEVELS, updates=40, seed=1)
    assert any(not np.array_equal(other.tables[n], v) for n, v in fitted.tables.items())


def test_the_number_of_threads_does_not_matter_and_is_left_as_it_was(fitted):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    again = fit_bottleneck(rows(), rows(), LEVELS, updates=40)
    threads = torch.get_num_threads()
    torch.set_num_threads(before)
    assert threads == 2
    assert all(np.array_equal(again.tables[n], v) for n, v in fitted.tables.items())


def test_coding_without_torch_is_what_was_trained(fitted):
    coder = Coder(6, 0, 6, LEVELS)
    state = {n: torch.from_numpy(v) for n, v in fitted.tables.items() if n != "levels"}
    coder.load_state_dict(state)
    x = torch.from_numpy(rows().astype(np.float32))
    trained = coder(x, x[:, :0]).detach().numpy()
    assert np.allclose(fitted.decode(fitted.encode(rows())), trained, atol=1e-4)


def test_levels_and_one_number_for_them_are_the_same():
    codes = np.arange(30)
    digits = part(codes, np.array(LEVELS))
    assert (digits < LEVELS).all()
    assert len({tuple(row) for row in digits}) == 30
    assert np.array_equal(join(digits, np.array(LEVELS)), codes)


def test_a_basis_is_orthonormal_and_restores_what_lies_in_it():
    for values in (np.random.default_rng(0).normal(size=(30, 80)), rows()):
        basis = fit_basis(values, 10)
        assert np.allclose(basis.axes @ basis.axes.T, np.eye(len(basis.axes)), atol=1e-4)
        inside = basis.restore(basis.project(values))
        assert np.allclose(basis.restore(basis.project(inside)), inside, atol=1e-3)


def test_rows_are_drawn_in_order_and_the_same_ones_again():
    drawn = choose(np.arange(100), 10, 3)
    assert len(drawn) == 10
    assert (np.diff(drawn) > 0).all()
    assert np.array_equal(drawn, choose(np.arange(100), 10, 3))


def test_nothing_to_fit_and_a_missing_part_are_told():
    with pytest.raises(Usage):
        fit_bottleneck(rows()[:0], rows()[:0], LEVELS)
    with pytest.raises(Usage):
        fit_bottleneck(rows(), rows(), (5, 1))
    with pytest.raises(Damaged, match="'hands'"):
        of_prefix("hands", {"scene.mean": np.zeros(3)})
