"""Pretrained encoders of pictures, read from a folder that the user has; nothing is fetched.

A folder holds config.json and model.safetensors as Hugging Face writes them for DINOv2 (Oquab et
al. 2024), with or without registers (Darcet et al. 2024); preprocessor_config.json if there is
one. What an encoder says of a picture becomes tokens by a head that scene.py fits.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from firsthand.errors import Damaged, NotFound, Usage
from firsthand.learn.tokens.algebra import one_thread

CONFIG, WEIGHTS, PICTURES = "config.json", "model.safetensors", "preprocessor_config.json"
KINDS = ("dinov2", "dinov2_with_registers")
BATCH = 16  # pictures at a time
MOST_PATCHES = 16  # along a side: published models of 37 are used at 16, a fifth of the work
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures
FETCH = "copy the model's whole folder again"


@dataclass(frozen=True)
class Measures:
    """What config.json says of a vision transformer (Dosovitskiy et al. 2021); sizes in pixels
    and numbers."""

    model_type: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    image_size: int
    patch_size: int
    mlp_ratio: int = 4
    layer_norm_eps: float = 1e-6
    num_register_tokens: int = 0
    use_swiglu_ffn: bool = False
    qkv_bias: bool = True
    hidden_act: str = "gelu"

    @property
    def grid(self) -> int:
        """Patches along a side of the pictures that it was trained on."""
        return self.image_size // self.patch_size

    @property
    def used(self) -> int:
        """Patches along a side of the pictures that it is shown."""
        return min(self.grid, MOST_PATCHES)

    @property
    def inner(self) -> int:
        """Width of the feed-forward layers."""
        wide = self.hidden_size * self.mlp_ratio
        return (int(wide * 2 / 3) + 7) // 8 * 8 if self.use_swiglu_ffn else wide


class Block(nn.Module):
    """Self-attention, then a feed-forward layer, each scaled and added to its normed input."""

    def __init__(self, m: Measures) -> None:
        super().__init__()
        width, self.heads, self.gated = m.hidden_size, m.num_attention_heads, m.use_swiglu_ffn
        self.norm1 = nn.LayerNorm(width, eps=m.layer_norm_eps)
        self.norm2 = nn.LayerNorm(width, eps=m.layer_norm_eps)
        self.query, self.key, self.value = (nn.Linear(width, width, m.qkv_bias) for _ in range(3))
        self.dense = nn.Linear(width, width)
        self.first = nn.Linear(width, m.inner * (2 if self.gated else 1))
        self.second = nn.Linear(m.inner, width)
        self.scale1, self.scale2 = (nn.Parameter(torch.ones(width)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]"""
        normed = self.norm1(x)
        q, k, v = (
            part(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.scale1 * self.dense(seen)
        inner = self.first(self.norm2(x))
        if self.gated:
            gate, inner = inner.chunk(2, dim=-1)
            inner = F.silu(gate) * inner
        else:
            inner = F.gelu(inner)
        return x + self.scale2 * self.second(inner)


class VisionTransformer(nn.Module):
    """Pictures as patches, a token for the whole before them, registers between."""

    def __init__(self, m: Measures) -> None:
        super().__init__()
        width = m.hidden_size
        self.patches = nn.Conv2d(3, width, m.patch_size, m.patch_size)
        self.whole = nn.Parameter(torch.zeros(1, 1, width))
        self.registers = nn.Parameter(torch.zeros(1, m.num_register_tokens, width))
        self.grid = m.grid
        self.places = nn.Parameter(torch.zeros(1, 1 + m.grid**2, width))
        self.blocks = nn.ModuleList(Block(m) for _ in range(m.num_hidden_layers))
        self.norm = nn.LayerNorm(width, eps=m.layer_norm_eps)

    def forward(self, pictures: Tensor) -> Tensor:
        """[B, 3, S, S] -> the whole picture's token, the registers, then the patches row by row,
        normed: [B, 1 + registers + (S / patch_size)^2, D]."""
        x = self.patches(pictures)
        places: Tensor = self.places
        side = x.shape[-1]
        if places.shape[1] != 1 + side**2:
            grid = places[:, 1:].transpose(1, 2).unflatten(-1, (self.grid, self.grid))
            fitted = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
            places = torch.cat([places[:, :1], fitted.flatten(2).transpose(1, 2)], dim=1)
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([self.whole.expand(len(x), -1, -1), x], dim=1) + places
        registers = self.registers.expand(len(x), -1, -1)
        x = torch.cat([x[:, :1], registers, x[:, 1:]], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Encoder:
    """A pretrained encoder; `features` says what it sees in pictures."""

    def __init__(
        self,
        measures: Measures,
        network: VisionTransformer,
        digest: str,
        colours: tuple[Any, Any] = (MEAN, DEVIATION),
    ) -> None:
        self.measures, self.network, self.digest = measures, network.eval(), digest
        mean, deviation = (torch.tensor(c, dtype=torch.float32).view(1, 3, 1, 1) for c in colours)
        self.mean, self.deviation = mean, deviation

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures that it wants, in pixels."""
        side = self.measures.used * self.measures.patch_size
        return side, side

    @property
    def width(self) -> int:
        """How many numbers it says of a picture: the whole, and the mean of the patches in each
        of the four quarters, so that it matters where a thing is."""
        return 5 * self.measures.hidden_size

    @torch.no_grad()
    def features(self, pictures: np.ndarray) -> np.ndarray:
        """RGB pictures [N, height, width, 3] (uint8) -> [N, self.width] float32; Usage for
        pictures of another size."""
        if pictures.shape[1:] != (self.size[1], self.size[0], 3):
            raise Usage(
                f"the encoder looks at RGB pictures of {self.size}, not at {pictures.shape}",
                "decode them in its size",
            )
        rows = [np.zeros((0, self.width), dtype=np.float32)]
        with one_thread():
            for start in range(0, len(pictures), BATCH):
                part = torch.from_numpy(np.ascontiguousarray(pictures[start : start + BATCH]))
                scaled = (part.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.deviation
                tokens, m = self.network(scaled), self.measures
                patches = tokens[:, 1 + m.num_register_tokens :].transpose(1, 2)
                quarters = F.adaptive_avg_pool2d(patches.unflatten(-1, (m.used, m.used)), 2)
                rows.append(torch.cat([tokens[:, 0], quarters.flatten(1)], dim=1).numpy())
        return np.concatenate(rows)


def load_encoder(folder: Path) -> Encoder:
    """The encoder in a local folder.

    NotFound where a file is missing; Usage for a kind of model that is not known here; Damaged,
    naming the file and the tensor, for weights that are cut short, missing, of another shape, or
    not finite.
    """
    config, weights = folder / CONFIG, folder / WEIGHTS
    for path in (config, weights):
        if not path.is_file():
            raise NotFound(f"the encoder's file {path} is missing", FETCH)
    measures = _measures(config)
    data = weights.read_bytes()
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise Damaged(f"the encoder's file {weights} is damaged: {error}", FETCH) from error
    network = VisionTransformer(measures)
    with torch.no_grad():
        for name, target in _names(network, measures):
            target.copy_(_tensor(tensors, name, tuple(target.shape), weights))
    colours = _colours(folder / PICTURES)
    told = json.dumps([vars(measures), colours], sort_keys=True).encode()
    return Encoder(measures, network, hashlib.sha256(told + data).hexdigest(), colours)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Damaged(f"the encoder's file {path} is no readable JSON", FETCH) from error
    if not isinstance(found, dict):
        raise Damaged(f"the encoder's file {path} holds no JSON object", FETCH)
    return found


def _measures(path: Path) -> Measures:
    """What config.json says, checked."""
    said = _json(path)
    kind = said.get("model_type")
    if kind not in KINDS:
        raise Usage(f"{path} is of a model of type {kind!r}", f"the types known here: {KINDS}")
    known = {name: said[name] for name in Measures.__dataclass_fields__ if name in said}
    if kind == "dinov2":
        known["num_register_tokens"] = 0
    else:
        known.setdefault("num_register_tokens", 4)
    try:
        m = Measures(**known)
    except TypeError as error:
        raise Damaged(f"{path} does not say all measures: {error}", FETCH) from error
    wholes = (
        m.hidden_size, m.num_hidden_layers, m.num_attention_heads, m.image_size, m.patch_size,
        m.mlp_ratio,
    )  # fmt: skip
    for value in wholes:
        if not isinstance(value, int) or value < 1:
            raise Damaged(f"{path} has the measure {value!r} where a whole number belongs", FETCH)
    if not isinstance(m.num_register_tokens, int) or m.num_register_tokens < 0:
        raise Damaged(f"{path} has {m.num_register_tokens!r} registers", FETCH)
    if m.hidden_size % m.num_attention_heads or m.image_size % m.patch_size or m.grid < 2:
        raise Damaged(f"{path} has measures that do not fit each other", FETCH)
    if m.hidden_act != "gelu" or said.get("num_channels", 3) != 3:
        raise Usage(f"{path} is of a model of another build", "take one with gelu and 3 channels")
    return m


def _colours(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the colours that the encoder was trained with."""
    said = _json(path) if path.is_file() else {}
    mean = said.get("image_mean", list(MEAN))
    deviation = said.get("image_std", list(DEVIATION))
    for value in (mean, deviation):
        good = isinstance(value, list) and len(value) == 3
        if not good or not all(isinstance(v, int | float) and abs(v) < 1e3 for v in value):
            raise Damaged(f"{path} has no three numbers for the colours", FETCH)
    if min(deviation) <= 0:
        raise Damaged(f"{path} has a deviation of the colours that is not above 0", FETCH)
    return tuple(map(float, mean)), tuple(map(float, deviation))


def _tensor(tensors: dict[str, Tensor], name: str, shape: tuple[int, ...], path: Path) -> Tensor:
    if name not in tensors:
        raise Damaged(f"{path} has no tensor {name}", FETCH)
    found = tensors[name]
    if tuple(found.shape) != shape:
        raise Damaged(
            f"tensor {name} in {path} has shape {tuple(found.shape)}, {CONFIG} makes it {shape}",
            "take both files of the same model",
        )
    if not torch.isfinite(found).all():
        raise Damaged(f"tensor {name} in {path} has numbers that are not finite", FETCH)
    return found.float()


def _names(network: VisionTransformer, m: Measures) -> Iterator[tuple[str, Tensor]]:
    """Each tensor under the name that it has in the file."""
    yield "embeddings.cls_token", network.whole
    yield "embeddings.position_embeddings", network.places
    if m.num_register_tokens:
        yield "embeddings.register_tokens", network.registers
    yield from _both("embeddings.patch_embeddings.projection", network.patches)
    for number, block in enumerate(network.blocks):
        assert isinstance(block, Block)
        stem = f"encoder.layer.{number}"
        yield from _both(f"{stem}.norm1", block.norm1)
        yield from _both(f"{stem}.norm2", block.norm2)
        for part in ("query", "key", "value"):
            yield from _both(f"{stem}.attention.attention.{part}", getattr(block, part))
        yield from _both(f"{stem}.attention.output.dense", block.dense)
        yield f"{stem}.layer_scale1.lambda1", block.scale1
        yield f"{stem}.layer_scale2.lambda1", block.scale2
        first, second = ("weights_in", "weights_out") if block.gated else ("fc1", "fc2")
        yield from _both(f"{stem}.mlp.{first}", block.first)
        yield from _both(f"{stem}.mlp.{second}", block.second)
    yield from _both("layernorm", network.norm)


def _both(name: str, module: Any) -> Iterator[tuple[str, Tensor]]:
    yield f"{name}.weight", module.weight
    if module.bias is not None:
        yield f"{name}.bias", module.bias
