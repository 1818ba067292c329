from dataclasses import replace

import numpy as np
import pytest
import torch

from firsthand.errors import Usage
from firsthand.learn.network.model import (
    Network,
    Shape,
    rotary_angles,
    rotate,
    shape_for,
    thinned_attention,
)

SHAPE = Shape((4, 6), (3, 5, 2), people=2, depth=2, width=64, window=16)
CLASSES = torch.tensor([[1, 1], [1, 5], [2, 3], [3, 0], [3, 2]])


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = Network(SHAPE)
    for parameter in made.parameters():  # away from the quiet start, so that nothing is hidden
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def steps(batch=2, length=12):
    torch.manual_seed(1)
    own = torch.stack([torch.randint(0, n, (batch, length)) for n in SHAPE.own_sizes], -1)
    world = torch.stack([torch.randint(0, n, (batch, length)) for n in SHAPE.world_sizes], -1)
    return own, world, torch.tensor([1, 2])


def test_a_state_sees_nothing_of_its_own_step_or_later(network):
    own, world, person = steps()
    before = network(own, world, person)
    own[:, 7:] = 0
    world[:, 8:] = 0
    after = network(own, world, person)
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.allclose(before[:, 8], after[:, 8])


def test_what_is_seen_as_the_step_begins_and_who_wears_it_matter(network):
    own, world, person = steps()
    before = network(own, world, person)
    world[:, 7, 0] = (world[:, 7, 0] + 1) % 3
    assert not torch.allclose(before[:, 7], network(own, world, person)[:, 7])
    assert not torch.allclose(before, network(own, world, torch.tensor([0, 0])))


def test_the_joint_is_the_chain_of_the_fields_and_sums_to_one(network):
    own, world, person = steps()
    state = network(own, world, person)[0]
    joint = network.joint(state, CLASSES)
    assert joint.shape == (12, 6)
    assert torch.allclose(joint.exp().sum(-1), torch.ones(12), atol=1e-5)
    for number, row in enumerate(CLASSES):
        fields = network.nats(state[None], row.expand(1, 12, 2)).sum(-1)[0]
        assert torch.allclose(joint[:, number], -fields, atol=1e-4)


def test_what_the_list_leaves_over_is_the_unseen_classs(network):
    own, world, person = steps()
    state = network(own, world, person)[0]
    every = torch.cartesian_prod(torch.arange(4), torch.arange(6))
    total = network.joint(state, every)[:, :-1].exp()
    listed = [(every == row).all(-1).nonzero().item() for row in CLASSES]
    rest = 1 - total[:, listed].sum(-1)
    assert torch.allclose(network.joint(state, CLASSES)[:, -1].exp(), rest, atol=1e-4)


def test_rotary_scores_depend_on_the_distance_alone():
    torch.manual_seed(0)
    q, k = torch.randn(2, 32)
    turned_q, turned_k = (rotate(v.expand(1, 1, 10, 32), rotary_angles(10))[0, 0] for v in (q, k))
    near = [float(turned_q[i + 3] @ turned_k[i]) for i in range(7)]
    assert np.allclose(near, near[0], atol=1e-4)


def test_the_dial_reaches_the_measures_of_a_large_model():
    shape = shape_for(12, [98, 301], [20] * 8, people=30)
    with torch.device("meta"):
        count = sum(p.numel() for p in Network(shape).parameters())
    assert 80e6 < count < 130e6


def test_keys_decide_what_is_hidden_and_without_them_nothing_is(network):
    own, world, person = steps()
    keys = torch.tensor([5, 6], dtype=torch.int32)
    hidden = network(own, world, person, keys)
    assert torch.equal(hidden, network(own, world, person, keys))
    assert not torch.allclose(hidden, network(own, world, person))
    assert not torch.allclose(hidden, network(own, world, person, keys + 1))
    alone = network(own[1:], world[1:], person[1:], keys[1:])
    assert torch.allclose(hidden[1:], alone, atol=1e-5)
    calm = Network(replace(SHAPE, dropout=0.0, input_dropout=0.0, person_dropout=0.0))
    assert torch.equal(calm(own, world, person, keys), calm(own, world, person))


def test_thinned_attention_that_thins_nothing_is_pytorchs_own():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 9, 32)
    ours = thinned_attention(q, k, v, torch.tensor([1, 2], dtype=torch.int32), 0.0)
    theirs = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 40}, {"head_width": 3, "width": 63}, {"window": 1}, {"weights": (1.0,)},
        {"weights": (1.0, -1.0)}, {"weights": (0.0, 0.0)}, {"weights": (1.0, float("nan"))},
    ],
)  # fmt: skip
def test_measures_that_make_no_network_are_refused(wrong):
    with pytest.raises(Usage):
        replace(SHAPE, **wrong)
    with pytest.raises(Usage, match="size 0"):
        shape_for(0, [4], [3], 1)


@pytest.mark.parametrize("size", range(1, 30))
def test_every_size_has_heads_that_fill_its_width(size):
    shape = shape_for(size, [4], [3], 1)
    assert shape.width == 64 * shape.depth
    assert shape.width % shape.head_width == 0
