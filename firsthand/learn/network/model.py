"""The network: a decoder-only transformer over steps, with one dial for its size.

The parts are those of common practice: pre-norm with RMSNorm (Zhang & Sennrich 2019), rotary
positions (Su et al. 2021), SwiGLU (Shazeer 2020), embeddings tied to the heads (Press & Wolf
2017), scaled-dot-product attention as PyTorch has it. Training is in fit.py, the chance of
dropout in chance.py.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from firsthand.errors import Usage
from firsthand.learn.network.chance import drop, kept, turned

HEAD_WIDTH = 32


@dataclass(frozen=True)
class Shape:
    """The measures of a network. Sizes count the unknown value of each field."""

    own_sizes: tuple[int, ...]
    world_sizes: tuple[int, ...]
    people: int
    depth: int
    width: int
    window: int = 128  # steps that a prediction looks back on
    dropout: float = 0.2
    input_dropout: float = 0.1  # share of world fields hidden from a training step
    person_dropout: float = 0.2  # share of training windows whose wearer is not named
    weights: Sequence[float] | None = None  # of each own field in the loss; None: 1 each
    head_width: int = HEAD_WIDTH

    def __post_init__(self) -> None:
        """Raises Usage for measures that make no network."""
        if self.width % self.head_width or self.head_width % 2:
            raise Usage(
                f"heads of width {self.head_width} do not fill a width of {self.width}",
                "take an even head width that divides the width",
            )
        if self.window < 2:
            raise Usage(f"a window of {self.window} steps is too short", "give 2 or more")
        if self.weights is None:
            return
        object.__setattr__(self, "weights", tuple(map(float, self.weights)))
        good = all(0 <= weight < float("inf") for weight in self.weights) and any(self.weights)
        if len(self.weights) != len(self.own_sizes) or not good:
            raise Usage(
                f"{len(self.own_sizes)} own fields cannot have the weights {self.weights}",
                "give one weight of 0 or more for each own field, and not 0 for all",
            )

    @property
    def field_weights(self) -> tuple[float, ...]:
        """The loss weight of each own field."""
        return (1.0,) * len(self.own_sizes) if self.weights is None else tuple(self.weights)

    def to_json(self) -> dict[str, object]:
        """Plain JSON values; `Shape(**value)` reads them back."""
        return asdict(self)


def shape_for(
    size: int,
    own_sizes: list[int],
    world_sizes: list[int],
    people: int,
    window: int = 128,
    weights: Sequence[float] | None = None,
) -> Shape:
    """The one dial: depth is `size`, width is 64 times `size`.

    1 or 2 fit a laptop, 12 has the measures of a 100 M parameter model, 20 those of 0.5 B. With
    16 own fields, whose heads weigh as much as 11 layers, 10 has 0.1 B and 24 has 1 B.
    """
    if size < 1:
        raise Usage(f"there is no network of size {size}", "the smallest size is 1")
    # A small size goes with little data: 1,700 steps at size 1 lost 0.24 nats per step at
    # dropout 0.45 and 0.8 at 0.1 against 0.6.
    dropout = {1: 0.6, 2: 0.6, 3: 0.4, 4: 0.3}.get(size, 0.0)
    hidden = 0.2 if dropout else 0.0
    # Attention on a GPU works best on heads of 64 or 128; small networks want several heads.
    head_width = HEAD_WIDTH if size < 6 else 128 if size >= 16 and size % 2 == 0 else 64
    measures = {"depth": size, "width": 64 * size, "window": window, "head_width": head_width}
    return Shape(
        tuple(own_sizes), tuple(world_sizes), people, **measures,
        dropout=dropout, input_dropout=hidden, weights=weights,
    )  # fmt: skip


class Attention(nn.Module):
    """Causal self-attention: a step sees itself and what came before."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.head_width = shape.width // shape.head_width, shape.head_width
        self.dropout = shape.dropout
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, turn: Tensor, keys: Tensor | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]; `turn` holds the rotary angles, `keys` [B] dropout's chance."""
        batch, steps, width = x.shape
        parts = self.qkv(x).view(batch, steps, 3, self.heads, self.head_width)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        q, k = rotate(q, turn), rotate(k, turn)
        if keys is None or self.dropout == 0.0:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = thinned_attention(q, k, v, keys, self.dropout)
        return self.out(y.transpose(1, 2).reshape(batch, steps, width))


def thinned_attention(q: Tensor, k: Tensor, v: Tensor, keys: Tensor, share: float) -> Tensor:
    """Causal attention with dropout by the rows' keys: q, k, v [B,H,T,W], keys [B] -> [B,H,T,W].

    PyTorch's own takes its chance from one generator for the whole batch, so that the outcome
    would depend on the number of processes. Only small networks (see shape_for) have dropout.
    """
    steps = q.shape[-2]
    later = torch.ones(steps, steps, dtype=torch.bool, device=q.device).triu(1)
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    seen = scores.masked_fill(later, float("-inf")).softmax(-1)
    return drop(seen, keys, 0, share).to(v.dtype) @ v


class SwiGLU(nn.Module):
    """Gated feed-forward layer of about 8/3 the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = (8 * width // 3 + 15) // 16 * 16
        self.up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]"""
        gate, value = self.up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * value)


class Block(nn.Module):
    """Attention, then the feed-forward layer, each added to its own normed input."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention, self.feed = Attention(shape), SwiGLU(shape.width)
        self.norm1, self.norm2 = nn.RMSNorm(shape.width), nn.RMSNorm(shape.width)
        self.dropout = shape.dropout

    def forward(self, x: Tensor, turn: Tensor, keys: Tensor | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]"""
        x = x + drop(self.attention(self.norm1(x), turn, keys), keys, 1, self.dropout)
        return x + drop(self.feed(self.norm2(x)), keys, 2, self.dropout)


class Network(nn.Module):
    """Predicts the own fields of each step from all steps before and what is seen as it begins.

    The input of step t is the sum of the embeddings of the own fields of step t-1, the world
    fields of step t, and the person. Own fields are predicted in order, each given those before.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.own = nn.ModuleList(nn.Embedding(size, width) for size in shape.own_sizes)
        # All world fields in one table, one after the other.
        self.world = nn.Embedding(sum(shape.world_sizes), width)
        offsets = torch.tensor([0, *shape.world_sizes[:-1]]).cumsum(0)
        self.world_offsets: Tensor
        self.register_buffer("world_offsets", offsets, persistent=False)
        self.start = nn.Parameter(torch.zeros(width))  # stands before the first step of a window
        # Row 0 is "somebody": what is left when the wearer is not named.
        self.person = nn.Embedding(shape.people + 1, width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.RMSNorm(width)
        self.heads = nn.ModuleList(Head(shape, size) for size in shape.own_sizes)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=width**-0.5)
            elif isinstance(module, Block):  # starts as the identity
                nn.init.zeros_(module.attention.out.weight)
                nn.init.zeros_(module.feed.down.weight)

    def forward(
        self, own: Tensor, world: Tensor, person: Tensor, keys: Tensor | None = None
    ) -> Tensor:
        """State before each step's own fields: own [B,T,O], world [B,T,W], person [B] -> [B,T,D].

        `own[:, t]` only reaches the states after t. In training `keys` [B] int32 decide what
        dropout hides of each row (chance.py); without them nothing is hidden.
        """
        batch, steps, _ = own.shape
        done = sum(table(own[:, :-1, i]) for i, table in enumerate(self.own))
        x = torch.cat([self.start.expand(batch, 1, -1), done], dim=1)
        seen = self.world(world + self.world_offsets)  # [B, T, W, D]
        if keys is not None and self.shape.input_dropout:
            shown = kept(seen.shape[:3], keys, 0, self.shape.input_dropout)
            seen = seen * shown[..., None]
        x = x + seen.sum(2)
        if keys is not None and self.shape.person_dropout:
            person = person * kept(person.shape, keys, 1, self.shape.person_dropout)
        x = drop(x + self.person(person)[:, None], keys, 2, self.shape.dropout)
        turn = rotary_angles(steps, self.shape.head_width, x.device)
        for number, block in enumerate(self.blocks):
            x = block(x, turn, None if keys is None else turned(keys, 8 + number))
        return self.norm(x)

    def nats(self, state: Tensor, own: Tensor) -> Tensor:
        """Loss of each own field of each step: [B,T,D], [B,T,O] -> [B,T,O]."""
        losses = []
        for i, head in enumerate(self.heads):
            losses.append(head(state, self.own[i].weight, own[..., i]))
            state = state + self.own[i](own[..., i])
        return torch.stack(losses, dim=-1)

    def joint(self, state: Tensor, classes: Tensor) -> Tensor:
        """Log-probabilities over the closed list: [N,D], classes [C-1,O] -> [N,C], normalised.

        The chain p(field 1) p(field 2 | field 1) ... is followed along the distinct prefixes of
        the list; the last class holds what the list leaves over.
        """
        count, fields = classes.shape
        prefixes = classes.new_zeros(1, 0)
        known = state.new_zeros(len(state), 1)  # log-probability of each prefix
        states = state[:, None]  # [N, prefixes, D]
        for i in range(fields):
            logits = self.heads[i](states, self.own[i].weight).log_softmax(-1)
            longer, inverse = torch.unique(classes[:, : i + 1], dim=0, return_inverse=True)
            parent = _rows_of(prefixes, longer[:, :i])
            known = known[:, parent] + logits[:, parent, longer[:, i]]
            states = states[:, parent] + self.own[i](longer[:, i])
            prefixes = longer
        listed = known[:, inverse] if count else known[:, :0]
        rest = (1 - listed.exp().sum(-1, keepdim=True)).clamp_min(1e-6).log()
        return torch.cat([listed, rest], dim=-1).log_softmax(-1)


class Losses(nn.Module):
    """A network with its loss in one forward pass, as sharding over processes wants it."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, own: Tensor, world: Tensor, person: Tensor, keys: Tensor | None = None
    ) -> Tensor:
        """Nats of each own field of each step: as Network.forward -> [B,T,O] in float32."""
        return self.network.nats(self.network(own, world, person, keys), own).float()


class Head(nn.Module):
    """Scores of one own field: a small layer, then the field's own embedding, used again."""

    def __init__(self, shape: Shape, size: int) -> None:
        super().__init__()
        self.norm, self.feed = nn.RMSNorm(shape.width), SwiGLU(shape.width)
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, state: Tensor, embedding: Tensor, truth: Tensor | None = None) -> Tensor:
        """Scores [..., D] -> [..., values]; with the true values [...] their nats [...] instead,
        for then the scores need never be written out where this is compiled."""
        x = self.norm(state)
        scores = (x + self.feed(x)) @ embedding.T + self.bias
        if truth is None:
            return scores
        nats = F.cross_entropy(scores.flatten(0, -2), truth.flatten(), reduction="none")
        return nats.view(truth.shape)


def _rows_of(table: Tensor, rows: Tensor) -> Tensor:
    """Index in `table` [P,K] of each of `rows` [R,K]; every row must occur."""
    if table.shape[1] == 0:
        return rows.new_zeros(len(rows))
    return (rows[:, None] == table[None]).all(-1).float().argmax(-1)


def rotary_angles(
    steps: int, head_width: int = HEAD_WIDTH, device: torch.device | None = None
) -> Tensor:
    """Cosines and sines [2, T, head_width / 2] of the rotary positions 0..T-1."""
    rate = 1.0 / 10_000 ** (torch.arange(0, head_width, 2, device=device) / head_width)
    angle = torch.arange(steps, device=device)[:, None] * rate
    return torch.stack([angle.cos(), angle.sin()])


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn each pair of features by its angle: [B,H,T,head_width] -> the same."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = turn
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)
