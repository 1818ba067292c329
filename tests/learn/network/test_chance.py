import pytest
import torch

from firsthand.learn.network.chance import drop, kept, keys_of, scramble, turned


def test_a_rows_chance_depends_on_no_other_row():
    keys = keys_of(3, 10, 8)
    whole = kept(torch.Size((8, 5, 40)), keys, 2, 0.4)
    part = kept(torch.Size((3, 5, 40)), keys[2:5], 2, 0.4)
    assert torch.equal(whole[2:5], part)
    assert torch.equal(keys_of(3, 10, 8), keys)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.6])
def test_as_many_are_hidden_as_asked_in_every_row_and_place(share):
    shown = kept(torch.Size((400, 500)), keys_of(0, 0, 400), 0, share).float()
    spread = (share * (1 - share)) ** 0.5
    assert float(shown.mean()) == pytest.approx(1 - share, abs=5 * spread / 200_000**0.5)
    for means, count in ((shown.mean(0), 400), (shown.mean(1), 500)):
        assert float(means.std()) == pytest.approx(spread / count**0.5, rel=0.2)


def test_updates_seeds_sites_and_layers_differ():
    size, keys = torch.Size((4, 300)), keys_of(1, 1, 4)
    masks = [
        kept(size, keys, 0, 0.5), kept(size, keys, 1, 0.5), kept(size, turned(keys, 8), 0, 0.5),
        kept(size, keys_of(1, 2, 4), 0, 0.5), kept(size, keys_of(2, 1, 4), 0, 0.5),
    ]  # fmt: skip
    for i, a in enumerate(masks):
        for b in masks[:i]:
            assert 0.4 < float((a == b).float().mean()) < 0.6


def test_dropout_keeps_the_mean_and_without_keys_everything():
    x = torch.ones(50, 2000)
    dropped = drop(x, keys_of(0, 0, 50), 0, 0.3)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert torch.equal(drop(x, None, 0, 0.3), x)
    assert drop(x.bfloat16(), keys_of(0, 0, 50), 0, 0.3).dtype == torch.bfloat16


def test_scrambling_loses_nothing_and_flips_half_of_the_bits():
    numbers = torch.arange(-5000, 5000, dtype=torch.int32)
    assert scramble(numbers).unique().numel() == 10_000
    flipped = scramble(numbers) ^ scramble(numbers ^ 1)
    bits = sum(((flipped >> bit) & 1).float().mean() for bit in range(32))
    assert float(bits) == pytest.approx(16, abs=0.5)
