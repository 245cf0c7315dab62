"""Random weights for the fixtures, and the files that hold them."""

import json

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM


def random_weights(model, seed):
    """Weights large enough that every part of the network moves the logits, by parameter name."""
    generator = torch.Generator().manual_seed(seed)
    tied = model.config.tie_word_embeddings
    conv1d = model.config.model_type == "gpt2"  # stores linear weights as [in, out]

    def draw(name, shape):
        noise = torch.randn(shape, generator=generator)
        part = name.rsplit(".", 1)
        if "norm" in name or ".ln_" in name:
            return 1 + 0.25 * noise if part[1] == "weight" else 0.2 * noise
        if part[1] == "bias":
            return 0.3 * noise
        if any(word in name for word in ("embed_tokens", "wte", "wpe")):
            return (0.12 if tied else 0.08) * noise  # small, so that the first norm's epsilon shows
        fan_in = shape[0] if conv1d and "lm_head" not in name else shape[1]
        into_residual = any(word in name for word in ("o_proj", "down_proj", "c_proj"))
        gain = 2.5 if "lm_head" in name else 1.5 if into_residual else 1.2
        return gain * fan_in**-0.5 * noise

    return {name: draw(name, tuple(value.shape)) for name, value in model.named_parameters()}


def file_tensors(fixture, config, weights):
    """The tensors as the fixture's file stores them: its dtype, key layout and leftovers."""
    dtype = getattr(torch, fixture.dtype)
    tensors = {name: value.to(dtype).contiguous() for name, value in weights.items()}
    if fixture.extra_head:
        tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()
    for layer in range(config.num_hidden_layers):
        if fixture.mask_buffers:
            size = config.max_position_embeddings
            mask = torch.ones(size, size).tril().to(getattr(torch, fixture.mask_buffers))
            tensors[f"transformer.h.{layer}.attn.bias"] = mask[None, None]
            tensors[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
        if fixture.inv_freq:
            exponent = torch.arange(0, config.head_dim, 2).float() / config.head_dim
            tensors[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = 1 / 10000**exponent
    if fixture.gpt2_keys == "bare":
        tensors = {name.removeprefix("transformer."): value for name, value in tensors.items()}
    return tensors


def write_tensors(folder, tensors, shards, metadata):
    """One model.safetensors, or `shards` files and their index."""
    metadata = {"format": "pt"} if metadata else None
    if shards == 1:
        save_file(tensors, f"{folder}/model.safetensors", metadata)
        return
    names = sorted(tensors)
    index = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = names[shard * len(names) // shards : (shard + 1) * len(names) // shards]
        save_file({name: tensors[name] for name in part}, f"{folder}/{file}", metadata)
        index |= {name: file for name in part}
    total = sum(value.nbytes for value in tensors.values())
    listing = {"metadata": {"total_size": total}, "weight_map": index}
    write_json(f"{folder}/model.safetensors.index.json", listing)


def write_json(path, value):
    with open(path, "w") as file:
        file.write(json.dumps(value, indent=2) + "\n")


def load(folder, dtype=torch.float32, attention="sdpa", **changes):
    """The checkpoint through transformers; `changes` override config.json."""
    config = AutoConfig.from_pretrained(folder)
    if changes:
        raw = json.load(open(f"{folder}/config.json")) | changes
        config = type(config).from_dict({key: value for key, value in raw.items() if key != "model_type"})
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation=attention, output_loading_info=True)
    if info["missing_keys"] or info["mismatched_keys"]:
        raise SystemExit(f"{folder}: transformers finds {info}")
    return model.to(dtype).eval()
