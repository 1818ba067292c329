"""The network: a decoder-only transformer over steps, with one dial for its size.

The parts are those of common practice: pre-norm with RMSNorm (Zhang & Sennrich 2019), rotary
positions (Su et al. 2021), SwiGLU (Shazeer 2020), embeddings tied to the heads (Press & Wolf
2017), scaled-dot-product attention as PyTorch has it. Training is in fit.py.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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

    def to_json(self) -> dict[str, object]:
        """Plain JSON values; `Shape(**value)` reads them back."""
        return asdict(self)


def shape_for(
    size: int, own_sizes: list[int], world_sizes: list[int], people: int, window: int = 128
) -> Shape:
    """The one dial: depth is `size`, width is 64 times `size`.

    1 or 2 fit a laptop, 12 has the measures of a 100 M parameter model, 20 those of 0.5 B.
    """
    # A small size goes with little data: 1,700 steps at size 1 lost 0.24 nats per step at
    # dropout 0.45 and 0.8 at 0.1 against 0.6.
    dropout = {1: 0.6, 2: 0.6, 3: 0.4, 4: 0.3}.get(size, 0.0)
    hidden = 0.2 if dropout else 0.0
    measures = {"depth": size, "width": 64 * size, "window": window}
    return Shape(
        tuple(own_sizes), tuple(world_sizes), people, **measures,
        dropout=dropout, input_dropout=hidden,
    )  # fmt: skip


class Attention(nn.Module):
    """Causal self-attention: a step sees itself and what came before."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.width // HEAD_WIDTH
        self.dropout = shape.dropout
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]; `turn` holds the rotary angles."""
        batch, steps, width = x.shape
        q, k, v = self.qkv(x).view(batch, steps, 3, self.heads, HEAD_WIDTH).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(
            rotate(q, turn), rotate(k, turn), v, dropout_p=dropout, is_causal=True
        )
        return self.out(y.transpose(1, 2).reshape(batch, steps, width))


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
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]"""
        x = x + self.dropout(self.attention(self.norm1(x), turn))
        return x + self.dropout(self.feed(self.norm2(x)))


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
        self.dropout = nn.Dropout(shape.dropout)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=width**-0.5)
            elif isinstance(module, Block):  # starts as the identity
                nn.init.zeros_(module.attention.out.weight)
                nn.init.zeros_(module.feed.down.weight)

    def forward(self, own: Tensor, world: Tensor, person: Tensor) -> Tensor:
        """State before each step's own fields: own [B,T,O], world [B,T,W], person [B] -> [B,T,D].

        `own[:, t]` only reaches the states after t.
        """
        batch, steps, _ = own.shape
        done = sum(table(own[:, :-1, i]) for i, table in enumerate(self.own))
        x = torch.cat([self.start.expand(batch, 1, -1), done], dim=1)
        seen = self.world(world + self.world_offsets)  # [B, T, W, D]
        if self.training and self.shape.input_dropout:
            keep = torch.rand(seen.shape[:3]) >= self.shape.input_dropout
            seen = seen * keep[..., None]
        x = x + seen.sum(2)
        if self.training and self.shape.person_dropout:
            person = person * (torch.rand(batch) >= self.shape.person_dropout)
        x = self.dropout(x + self.person(person)[:, None])
        turn = rotary_angles(steps)
        for block in self.blocks:
            x = block(x, turn)
        return self.norm(x)

    def nats(self, state: Tensor, own: Tensor) -> Tensor:
        """Loss of each own field of each step: [B,T,D], [B,T,O] -> [B,T,O]."""
        losses = []
        for i, head in enumerate(self.heads):
            logits = head(state, self.own[i].weight)
            losses.append(
                F.cross_entropy(logits.flatten(0, 1), own[..., i].flatten(), reduction="none")
            )
            state = state + self.own[i](own[..., i])
        return torch.stack(losses, dim=-1).view(own.shape)

    def joint(self, state: Tensor, classes: Tensor) -> Tensor:
        """Log-probabilities over the closed list: [N,D], classes [C-1,O] -> [N,C], normalised.

        The chain p(field 1) p(field 2 | field 1) ... is followed along the distinct prefixes of
        the list; the last class holds what the list leaves over.
        """
        count, fields = classes.shape
        prefixes = torch.zeros(1, 0, dtype=torch.long)
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


class Head(nn.Module):
    """Scores of one own field: a small layer, then the field's own embedding, used again."""

    def __init__(self, shape: Shape, size: int) -> None:
        super().__init__()
        self.norm, self.feed = nn.RMSNorm(shape.width), SwiGLU(shape.width)
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, state: Tensor, embedding: Tensor) -> Tensor:
        """[..., D] -> [..., values]"""
        x = self.norm(state)
        return (x + self.feed(x)) @ embedding.T + self.bias


def _rows_of(table: Tensor, rows: Tensor) -> Tensor:
    """Index in `table` [P,K] of each of `rows` [R,K]; every row must occur."""
    if table.shape[1] == 0:
        return torch.zeros(len(rows), dtype=torch.long)
    return (rows[:, None] == table[None]).all(-1).float().argmax(-1)


def rotary_angles(steps: int) -> Tensor:
    """Cosines and sines [2, T, HEAD_WIDTH / 2] of the rotary positions 0..T-1."""
    rate = 1.0 / 10_000 ** (torch.arange(0, HEAD_WIDTH, 2) / HEAD_WIDTH)
    angle = torch.arange(steps)[:, None] * rate
    return torch.stack([angle.cos(), angle.sin()])


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn each pair of features by its angle: [B,H,T,HEAD_WIDTH] -> the same."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = turn
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
