#!/usr/bin/env python3
"""Record tiny quantised checkpoints with the weights that their tools dequantise and what transformers computes.

    pip install torch transformers            # and what quantised_layers.py names
    python Tools/make_quantised_fixtures.py --output Tests/Fixtures/quantised [NAME …]

Tests/Fixtures/quantised/README.md describes the files.
"""

import argparse
import json
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass, field

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

import quantised_layers as layers
from fixture_files import load, random_weights, write_json
from fixture_models import llama, qwen2, qwen3
from make_fixtures import choose_case, margin_of, self_check, spread_of, write_cases

SHAPE = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2,
         "num_hidden_layers": 1, "vocab_size": 96, "torch_dtype": "float16"}
W4 = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32, "dynamic": False}
W8 = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}
A8 = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}


@dataclass
class Fixture:
    """What one folder holds."""

    name: str
    note: str
    config: dict
    quantization: dict  # quantization_config, or the file beside config.json
    layer: object  # (module name, weight [N, K]) -> (tensors, dequantised weight), or None for one left as it is
    file: str = "model.safetensors"
    beside: str = ""  # name of the file that holds `quantization` in place of config.json
    zero_biases: bool = False  # biases of zeros on layers that have none
    lengths: tuple = (1, 9, 40)
    dtype: str = field(default="float32", init=False)  # what choose_case asks for its margin


def order_of(name, columns):
    """An order of columns that layers with the same input share, as act-order does; layer 1's v_proj has its own."""
    kind = name.rsplit(".", 1)[1]
    shared = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "mlp", "up_proj": "mlp"}
    key = name if name.startswith("model.layers.1") and kind == "v_proj" else shared.get(kind, kind)
    return torch.randperm(columns, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))


def groups(*schemes, format, **more):
    """A quantization_config of compressed-tensors."""
    return {
        "config_groups": {f"group_{index}": scheme for index, scheme in enumerate(schemes)}, "format": format,
        "global_compression_ratio": None, "ignore": [], "kv_cache_scheme": None, "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
    } | more


def scheme(weights, targets=("Linear",), inputs=None, **more):
    return {"input_activations": inputs, "output_activations": None, "targets": list(targets), "weights": weights} | more


def int4_with_int8_head(name, weight):
    if name == "lm_head":
        return layers.compressed_tensors(weight, "int-quantized", W8, torch.float16)
    return layers.compressed_tensors(weight, "pack-quantized", W4, torch.float16)


def but_head(function):
    return lambda name, weight: None if name == "lm_head" else function(name, weight)


GPTQ = {"bits": 4, "damp_percent": 0.01, "desc_act": False, "group_size": 128, "quant_method": "gptq", "sym": True,
        "true_sequential": True}
ASYMMETRIC = W4 | {"group_size": 64, "symmetric": False, "actorder": "group"}
PACKED8 = W8 | {"strategy": "group", "group_size": 128, "symmetric": False}

FIXTURES = [
    Fixture("ct-int4", "symmetric groups of 32, the head in 8 bits a row, a format for each group of layers",
            llama(**SHAPE),
            groups(scheme(W4, format="pack-quantized"),
                   scheme(W8, ["re:.*lm_head"], format="int-quantized"), format="mixed-precision"),
            int4_with_int8_head),
    Fixture("ct-int4-ordered", "zero points, groups of 64 by activation (weight_g_idx), tied head",
            qwen2(**SHAPE), groups(scheme(ASYMMETRIC), format="pack-quantized", ignore=["lm_head"]),
            lambda name, weight: layers.compressed_tensors_ordered(
                weight, ASYMMETRIC, torch.float16, order_of(name, weight.shape[1]))),
    Fixture("ct-int8", "int8 per row, activations dynamic in 8 bits, BF16 scales, a module name to ignore",
            qwen3(**SHAPE | {"torch_dtype": "bfloat16", "tie_word_embeddings": False}),
            groups(scheme(W8, inputs=A8), format="int-quantized",
                   ignore=["lm_head", "model.layers.0.mlp.down_proj"]),
            lambda name, weight: None if name == "lm_head" or "down_proj" in name else
            layers.compressed_tensors(weight, "int-quantized", W8, torch.bfloat16)),
    Fixture("ct-int8-packed", "8 bits packed, groups of 128 with zero points", llama(**SHAPE),
            groups(scheme(PACKED8, ["re:.*self_attn.*", "re:.*(gate|up|down)_proj$"]), format="pack-quantized"),
            but_head(lambda name, weight: layers.compressed_tensors(
                weight, "pack-quantized", PACKED8, torch.float16))),
    Fixture("gptq-int4", "version 1, symmetric, groups of 32, act-order, biases of zeros left in",
            llama(**SHAPE | {"num_hidden_layers": 2}),
            GPTQ | {"group_size": 32, "desc_act": True, "static_groups": False, "lm_head": False,
                    "checkpoint_format": "gptq", "dynamic": None, "pack_dtype": "int32", "meta": {}},
            but_head(lambda name, weight: layers.gptq(
                weight, 4, 32, True, 1, order_of(name, weight.shape[1]))), zero_biases=True),
    Fixture("gptq-int8", "version 2, zero points, groups of 64, the head quantised too", qwen3(
            **SHAPE | {"tie_word_embeddings": False}),
            GPTQ | {"bits": 8, "group_size": 64, "sym": False, "lm_head": True, "checkpoint_format": "gptq_v2"},
            lambda name, weight: layers.gptq(weight, 8, 64, False, 2)),
    Fixture("gptq-beside", "zero points, whole rows; quantize_config.json beside config.json, an older file name",
            llama(**SHAPE),
            {key: value for key, value in GPTQ.items() if key != "quant_method"} | {
                "group_size": -1, "sym": False, "model_name_or_path": None,
                "model_file_base_name": "gptq_model-4bit--1g"},
            but_head(lambda name, weight: layers.gptq(weight, 4, -1, False, 1)),
            file="gptq_model-4bit--1g.safetensors", beside="quantize_config.json"),
    Fixture("awq-int4", "zero points, groups of 64, tied head, biases", qwen2(**SHAPE),
            {"bits": 4, "group_size": 64, "modules_to_not_convert": None, "quant_method": "awq", "version": "gemm",
             "zero_point": True},
            lambda name, weight: layers.awq(weight, 64)),
    Fixture("bnb-int8", "LLM.int8", llama(**SHAPE),
            {"_load_in_4bit": False, "_load_in_8bit": True, "bnb_4bit_compute_dtype": "float32",
             "bnb_4bit_quant_storage": "uint8", "bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": False,
             "llm_int8_enable_fp32_cpu_offload": False, "llm_int8_has_fp16_weight": False,
             "llm_int8_skip_modules": None, "llm_int8_threshold": 6.0, "load_in_4bit": False, "load_in_8bit": True,
             "quant_method": "bitsandbytes"},
            but_head(lambda name, weight: layers.bitsandbytes(weight))),
]


def quantise(fixture, weights):
    """The tensors of the file, and the weights as float32: dequantised, or rounded as they are stored."""
    dtype = getattr(torch, fixture.config["torch_dtype"])
    tensors, plain, checks = {}, {}, {}
    for name, weight in weights.items():
        module = name.removesuffix(".weight")
        is_layer = name.endswith(("_proj.weight", "lm_head.weight"))
        stored = fixture.layer(module, weight.float()) if is_layer else None
        if stored is None:
            tensors[name] = weight.to(dtype)
            plain[name] = tensors[name].float()
            continue
        parts, plain[name] = stored
        tensors |= {f"{module}.{part}": value.contiguous() for part, value in parts.items()}
        checks[module] = f"{zlib.crc32(plain[name].numpy().astype('<f4').tobytes()):08x}"
        if fixture.zero_biases and f"{module}.bias" not in weights:
            tensors[f"{module}.bias"] = torch.zeros(weight.shape[0], dtype=dtype)
    return tensors, plain, checks


def record(fixture, output):
    """Write one folder and print a line about it."""
    folder = f"{output}/{fixture.name}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with tempfile.TemporaryDirectory() as plain_folder:
        write_json(f"{plain_folder}/config.json", fixture.config | {"torch_dtype": "float32"})
        blank = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(plain_folder))
        weights = random_weights(blank, zlib.crc32(fixture.name.encode()))
        tensors, plain, checks = quantise(fixture, weights)
        save_file(tensors, f"{folder}/{fixture.file}", {"format": "pt"})
        save_file(plain, f"{plain_folder}/model.safetensors", {"format": "pt"})
        model = load(plain_folder)
        chosen = [choose_case(model, length, fixture) for length in fixture.lengths]
        noise = self_check(plain_folder, fixture, model, [entry[1:] for entry in chosen])
    if fixture.beside:
        write_json(f"{folder}/config.json", fixture.config)
        write_json(f"{folder}/{fixture.beside}", fixture.quantization)
    else:
        write_json(f"{folder}/config.json", fixture.config | {"quantization_config": fixture.quantization})
    rows = []
    for margin, prompt, tokens, logits in chosen:
        name = f"len{len(prompt)}"
        numpy.save(f"{folder}/{name}.logits.npy", logits)
        rows.append({"name": name, "prompt": prompt, "tokens": tokens, "logits": f"{name}.logits.npy",
                     "spread": spread_of(logits), "margin": float(f"{margin_of(logits):.3g}")})
    summary = {"note": fixture.note, "family": fixture.config["model_type"], "dtype": fixture.config["torch_dtype"],
               "self_difference": float(f"{noise:.2g}"), "weights": checks, "torch": torch.__version__,
               "transformers": transformers.__version__}
    write_cases(folder, summary, rows)
    size = sum(entry.stat().st_size for entry in os.scandir(folder))
    print(f"{fixture.name:16} {size / 1024:6.0f} KiB  margin {min(entry[0] for entry in chosen):.1e}  "
          f"self {noise:.1e}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", required=True, help="the folder that gets one folder per fixture")
    parser.add_argument("names", nargs="*", help="record only these")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {fixture.name for fixture in FIXTURES}
    if unknown:
        raise SystemExit(f"unknown fixtures {sorted(unknown)}; there are {[each.name for each in FIXTURES]}")
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with torch.inference_mode():
        for fixture in FIXTURES:
            if not arguments.names or fixture.name in arguments.names:
                record(fixture, arguments.output)


if __name__ == "__main__":
    main()
