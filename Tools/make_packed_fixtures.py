#!/usr/bin/env python3
"""Record Tests/Fixtures/packed: a tiny Llama and what compressed-tensors makes of its weights.

    pip install compressed-tensors
    python Tools/make_packed_fixtures.py --output Tests/Fixtures/packed

Each weight is a multiple of a power of two for each group, with the whole range of codes in it, so that there is one
best scale and both sides must find the same codes; what is compared are the bytes.
"""

import argparse
import json
import os

import torch
from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import save_file

HIDDEN, INNER, VOCABULARY = 64, 96, 61
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INNER,
    "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCABULARY,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}
LAYER = "model.layers.0."
SHAPES = {
    LAYER + "self_attn.q_proj": (64, HIDDEN), LAYER + "self_attn.k_proj": (32, HIDDEN),
    LAYER + "self_attn.v_proj": (32, HIDDEN), LAYER + "self_attn.o_proj": (HIDDEN, 64),
    LAYER + "mlp.gate_proj": (INNER, HIDDEN), LAYER + "mlp.up_proj": (INNER, HIDDEN),
    LAYER + "mlp.down_proj": (HIDDEN, INNER), "lm_head": (VOCABULARY, HIDDEN),
}


def weights(shape, symmetric, bits, group, generator):
    """A weight, its scales [N, G] and its zero points [N, G] as signed integers."""
    n, k = shape
    groups = k // group
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    codes = torch.randint(low, high + 1, (n, groups, group), generator=generator)
    codes[..., 0], codes[..., 1] = low, high
    if bits == 8:
        codes = codes.clamp(min=-high)  # per channel the largest magnitude is 127 steps
    scales = 2.0 ** torch.randint(-9, -4, (n, groups), generator=generator)
    zeros = torch.zeros(n, groups, dtype=torch.int64)
    if not symmetric:
        zeros = torch.randint(-5, 5, (n, groups), generator=generator)
    values = (codes - zeros[..., None]) * scales[..., None]
    return values.reshape(n, k).bfloat16(), scales.bfloat16(), zeros.to(torch.int8)


def record(folder, symmetric, head_bits, seed):
    generator = torch.Generator().manual_seed(seed)
    plain, packed = {}, {}
    for name, values in (("model.embed_tokens", (VOCABULARY, HIDDEN)), (LAYER + "input_layernorm", (HIDDEN,)),
                         (LAYER + "post_attention_layernorm", (HIDDEN,)), ("model.norm", (HIDDEN,))):
        tensor = (1 + 0.25 * torch.randn(values, generator=generator)).bfloat16()
        plain[name + ".weight"] = packed[name + ".weight"] = tensor
    for name, shape in SHAPES.items():
        bits = head_bits if name == "lm_head" else 4
        group = shape[1] if bits == 8 else 32
        weight, scale, zero = weights(shape, symmetric or bits == 8, bits, group, generator)
        arguments = {"num_bits": bits, "type": "int", "symmetric": symmetric or bits == 8}
        arguments |= {"strategy": "channel"} if bits == 8 else {"strategy": "group", "group_size": group}
        scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**arguments))
        state = {"weight": weight, "weight_scale": scale, "weight_zero_point": zero}
        plain[name + ".weight"] = weight
        compressed = PackedQuantizationCompressor.compress(state, scheme)
        restored = PackedQuantizationCompressor.decompress(compressed, scheme)["weight"]
        assert torch.equal(restored, weight), name
        packed |= {f"{name}.{key}": value.contiguous() for key, value in compressed.items()}
    for part, tensors in (("plain", plain), ("packed", packed)):
        os.makedirs(f"{folder}/{part}", exist_ok=True)
        save_file(tensors, f"{folder}/{part}/model.safetensors", metadata={"format": "pt"})
    with open(f"{folder}/plain/config.json", "w") as file:
        json.dump(CONFIG, file, indent=2)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    record(f"{options.output}/symmetric", True, 8, 1)
    record(f"{options.output}/zero-points", False, 4, 2)


if __name__ == "__main__":
    main()
