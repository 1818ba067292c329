"""A tiny pretrained encoder, as its makers' files have it, with random weights."""

import json

import torch
from safetensors.torch import save_file

from firsthand.learn.tokens.encoders import VisionTransformer, _measures, _names

TINY = {
    "model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 56, "patch_size": 14, "mlp_ratio": 2, "hidden_act": "gelu", "num_channels": 3,
    "layer_norm_eps": 1e-6, "qkv_bias": True, "use_swiglu_ffn": False, "drop_path_rate": 0.0,
}  # fmt: skip


def encoder_in(folder, seed=0, **changed):
    """A tiny randomly initialised model of that architecture, as its makers' files have it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(TINY | changed))
    measures = _measures(folder / "config.json")
    chance = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.randn(target.shape, generator=chance) * 0.2
        for name, target in _names(VisionTransformer(measures), measures)
    }
    # The file holds more than is used here.
    tensors["embeddings.mask_token"] = torch.zeros(1, measures.hidden_size)
    save_file(tensors, folder / "model.safetensors")
    return folder
