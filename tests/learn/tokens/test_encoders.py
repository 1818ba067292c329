import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import TINY, encoder_in

from firsthand.errors import Damaged, NotFound, Usage
from firsthand.learn.tokens.encoders import load_encoder


def rewrite(folder, change):
    """Change the tensors of the file."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def pictures(count, side=56):
    return np.random.default_rng(0).integers(0, 255, (count, side, side, 3)).astype(np.uint8)


def by_hand(tensors, picture):
    """One picture through the published equations, one head and one matrix at a time."""
    t = {name: value.double().numpy() for name, value in tensors.items()}
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = (picture / 255 - mean) / deviation
    kernel = t["embeddings.patch_embeddings.projection.weight"]
    rows = [t["embeddings.cls_token"][0, 0]]
    for row in range(4):
        for column in range(4):
            patch = x[14 * row : 14 * row + 14, 14 * column : 14 * column + 14]
            bias = t["embeddings.patch_embeddings.projection.bias"]
            rows.append(np.einsum("ijc,ocij->o", patch, kernel) + bias)
    x = np.array(rows) + t["embeddings.position_embeddings"][0]

    def norm(x, name):
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
        return x * t[f"{name}.weight"] + t[f"{name}.bias"]

    def line(x, name):
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    for number in range(2):
        stem = f"encoder.layer.{number}"
        y = norm(x, f"{stem}.norm1")
        q, k, v = (line(y, f"{stem}.attention.attention.{p}") for p in ("query", "key", "value"))
        heads = []
        for head in (slice(0, 8), slice(8, 16)):
            scores = np.exp(q[:, head] @ k[:, head].T / np.sqrt(8))
            heads.append(scores / scores.sum(1, keepdims=True) @ v[:, head])
        done = line(np.concatenate(heads, axis=1), f"{stem}.attention.output.dense")
        x = x + done * t[f"{stem}.layer_scale1.lambda1"]
        y = torch.from_numpy(line(norm(x, f"{stem}.norm2"), f"{stem}.mlp.fc1"))
        y = line(torch.nn.functional.gelu(y).numpy(), f"{stem}.mlp.fc2")
        x = x + y * t[f"{stem}.layer_scale2.lambda1"]
    return norm(x, "layernorm")


def test_a_loaded_model_computes_what_its_makers_published(tmp_path):
    from safetensors.torch import load_file

    folder = encoder_in(tmp_path / "e")
    (shown,) = pictures(1)
    said = load_encoder(folder).features(shown[None])[0]
    tokens = by_hand(load_file(folder / "model.safetensors"), shown.astype(float))
    grid = tokens[1:].reshape(4, 4, 16)
    quarters = [grid[r : r + 2, c : c + 2].mean((0, 1)) for r in (0, 2) for c in (0, 2)]
    assert np.allclose(said[:16], tokens[0], atol=1e-4)
    assert np.allclose(said[16:].reshape(16, 4), np.array(quarters).T, atol=1e-4)


def test_features_do_not_depend_on_the_batch_and_the_digest_not_on_the_folder(tmp_path):
    one, two = (load_encoder(encoder_in(tmp_path / name)) for name in "ab")
    assert one.digest == two.digest
    assert load_encoder(encoder_in(tmp_path / "c", seed=1)).digest != one.digest
    rows = one.features(pictures(20))
    assert rows.shape == (20, one.width)
    assert np.allclose(rows[17:18], two.features(pictures(20)[17:18]), atol=1e-5)
    assert one.features(pictures(0)).shape == (0, one.width)


@pytest.mark.parametrize(
    "changed",
    [
        {"model_type": "dinov2_with_registers", "num_register_tokens": 3},
        {"use_swiglu_ffn": True},
        {"qkv_bias": False},
        {"image_size": 14 * 20},  # more patches than are shown
    ],
)
def test_the_other_builds_of_the_architecture_load(tmp_path, changed):
    encoder = load_encoder(encoder_in(tmp_path / "e", **changed))
    wide, high = encoder.size
    rows = encoder.features(pictures(2, wide))
    assert wide == high <= 224
    assert np.isfinite(rows).all()
    assert not np.allclose(rows[0], rows[1])


def test_colours_are_those_that_the_model_was_trained_with(tmp_path):
    folder = encoder_in(tmp_path / "e")
    plain = load_encoder(folder)
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0]}')
    other = load_encoder(folder)
    assert other.digest != plain.digest
    assert not np.allclose(other.features(pictures(1)), plain.features(pictures(1)))
    (folder / "preprocessor_config.json").write_text('{"image_std": [0, 1, 1]}')
    with pytest.raises(Damaged, match="above 0"):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    folder = encoder_in(tmp_path / "e")
    (folder / name).unlink()
    with pytest.raises(NotFound, match=name) as caught:
        load_encoder(folder)
    assert caught.value.hint


def test_a_tensor_that_is_missing_of_another_shape_or_not_finite_is_named(tmp_path):
    name = "encoder.layer.1.mlp.fc1.weight"
    changes = {
        "no tensor": lambda t: t.pop(name),
        r"shape \(16, 32\).*makes it \(32, 16\)": lambda t: t.update({name: torch.zeros(16, 32)}),
        "not finite": lambda t: t[name].fill_(float("nan")),
    }
    for number, (told, change) in enumerate(changes.items()):
        folder = encoder_in(tmp_path / str(number))
        rewrite(folder, change)
        with pytest.raises(Damaged, match=told) as caught:
            load_encoder(folder)
        assert name in caught.value.message
        assert caught.value.exit_code == 14


def test_weights_cut_short_or_with_a_broken_head_are_damaged(tmp_path):
    folder = encoder_in(tmp_path / "e")
    whole = (folder / "model.safetensors").read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:5], b"", b"\xff" * 8 + whole[8:]):
        (folder / "model.safetensors").write_bytes(broken)
        with pytest.raises(Damaged, match=r"model\.safetensors"):
            load_encoder(folder)


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("{", Damaged, "JSON"),
        ("[]", Damaged, "object"),
        (json.dumps(TINY | {"model_type": "bert"}), Usage, "'bert'"),
        (json.dumps(TINY | {"hidden_size": "16"}), Damaged, "'16'"),
        (json.dumps(TINY | {"patch_size": 13}), Damaged, "fit"),
        (json.dumps(TINY | {"hidden_act": "relu"}), Usage, "build"),
        (json.dumps({"model_type": "dinov2"}), Damaged, "hidden_size"),
    ],
)
def test_a_config_that_makes_no_model_is_refused(tmp_path, text, error, told):
    folder = encoder_in(tmp_path / "e")
    (folder / "config.json").write_text(text)
    with pytest.raises(error, match=told):
        load_encoder(folder)


def test_pictures_of_another_size_are_refused(tmp_path):
    with pytest.raises(Usage, match="56"):
        load_encoder(encoder_in(tmp_path / "e")).features(pictures(1, 28))
