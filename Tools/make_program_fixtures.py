#!/usr/bin/env python3
"""Record exported programs of tiny random models with the logits that transformers computes.

    python Tools/make_program_fixtures.py --output Tests/Fixtures/programs

One transformers version makes only the programs of its own: run it with each version that program_fixtures.py names,
the newest first, which also makes the checkpoints and logits. Every program is loaded again and must give these logits.
"""

import argparse
import json
import os
import random

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.cache_utils import DynamicCache

import export
from fixture_files import random_weights, write_json, write_tensors
from program_fixtures import CHECKPOINTS, PROGRAMS

NEWEST = "5.23.0"
LENGTHS = (1, 7, 33)
STEPS = 16
PAST = 5  # positions in the cache that is passed to programs with one
CAPACITY = 40  # of static caches
MAX_LENGTH = 96
MIN_MARGIN = 3e-3  # top-1 minus top-2, over the spread
TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}  # of the spread


def spread_of(logits):
    return float(logits.max() - logits.min())


def make_checkpoint(folder, config):
    os.makedirs(folder, exist_ok=True)
    write_json(f"{folder}/config.json", config)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    weights = random_weights(model, seed=7)
    write_tensors(folder, {name: value.contiguous() for name, value in weights.items()}, 1, True)


@torch.inference_mode()
def logits_of(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()


def greedy(model, prompt):
    ids, margins = list(prompt), []
    for _ in range(STEPS):
        row = logits_of(model, ids)[-1]
        top = numpy.sort(row)
        margins.append(float(top[-1] - top[-2]) / spread_of(row))
        ids.append(int(row.argmax()))
    return ids[len(prompt):], min(margins)


def choose(model, length):
    """A prompt whose greedy tokens are nowhere a near tie."""
    source = random.Random(length)
    for _ in range(500):
        prompt = [source.randrange(3, model.config.vocab_size) for _ in range(length)]
        tokens, margin = greedy(model, prompt)
        if margin >= MIN_MARGIN:
            return prompt, tokens, margin
    raise SystemExit(f"no prompt of length {length} without a near tie")


def record_cases(folder, name):
    """Prompts, greedy tokens, and the logits of all positions with the weights in each type."""
    model = export.load(folder)
    cases = []
    for length in LENGTHS:
        prompt, tokens, margin = choose(model, length)
        cases.append({"name": f"len{length}", "prompt": prompt, "tokens": tokens, "margin": margin,
                      "spread": spread_of(logits_of(model, prompt))})
    dtypes = sorted({program.dtype for program in PROGRAMS if program.checkpoint == name})
    for dtype in dtypes:
        rounded = export.load(folder, getattr(torch, dtype)).float()
        for case in cases:
            numpy.save(f"{folder}/{case['name']}.{dtype}.npy", logits_of(rounded, case["prompt"]))
    if any(program.checkpoint == name and program.cache == "dynamic" for program in PROGRAMS):
        past = torch.cat([tensor.reshape(-1, tensor.shape[-1]) for tensor in past_of(model, cases[-1]["prompt"])])
        numpy.save(f"{folder}/past{PAST}.npy", past.numpy())
    note = "exported programs of this checkpoint; the logits are float32 arithmetic on its weights rounded to each type"
    write_json(f"{folder}/cases.json", {"note": note, "past": PAST, "cases": cases, "programs": []})


@torch.inference_mode()
def past_of(model, prompt):
    """Keys of all layers, then values, of the first positions of a prompt."""
    cache = model(torch.tensor([prompt[:PAST]]), use_cache=True, past_key_values=DynamicCache()).past_key_values
    layers = cache.layers if hasattr(cache, "layers") else None
    if layers is None:
        return [*cache.key_cache, *cache.value_cache]
    return [layer.keys for layer in layers] + [layer.values for layer in layers]


def run(program, plan, model, prompt):
    """The logits that the saved program gives for a prompt."""
    ids, positions = torch.tensor([prompt]), torch.arange(len(prompt))
    if plan.cache == "static":
        return program.module()(input_ids=ids, cache_position=positions)
    if plan.cache == "dynamic":
        cache = DynamicCache()
        past = past_of(model, prompt)
        half = len(past) // 2
        for layer in range(half):
            cache.update(past[layer], past[half + layer], layer)
        return program.module()(
            ids[:, PAST:], position_ids=positions[None, PAST:], past_key_values=cache, use_cache=True)
    keywords = {"position_ids": positions[None]} if plan.position_ids else {}
    return program.module()(ids, use_cache=False, **keywords)


def check(path, plan, folder, cases):
    """Loads the program again and compares its logits with those of transformers."""
    program = torch.export.load(path)
    model = export.load(folder, getattr(torch, plan.dtype))
    for case in cases:
        if plan.cache == "dynamic" and len(case["prompt"]) != max(LENGTHS):
            continue
        with torch.inference_mode():
            result = run(program, plan, model, case["prompt"])
        logits = getattr(result, "logits", result)
        logits = (logits if torch.is_tensor(logits) else logits[0])[0].float().numpy()
        expected = numpy.load(f"{folder}/{case['name']}.{plan.dtype}.npy")[-len(logits):]
        error = float(abs(logits - expected).max()) / case["spread"]
        if error > TOLERANCE[plan.dtype]:
            raise SystemExit(f"{path}: {case['name']} differs from transformers by {error:.2g} of the spread")


def record_program(folder, plan):
    path = f"{folder}/{plan.name}.pt2"
    model = export.load(folder, getattr(torch, plan.dtype), plan.attention)
    length = CAPACITY if plan.cache == "static" else MAX_LENGTH
    program = export.export(model, plan.form, plan.cache, length, plan.position_ids)
    dropped = export.METADATA if not plan.modules else ("stack_trace",)
    export.drop_metadata(program, dropped)
    export.save(program, path)
    listing = json.load(open(f"{folder}/cases.json"))
    check(path, plan, folder, listing["cases"])
    entry = {"file": f"{plan.name}.pt2", "transformers": plan.version, "torch": torch.__version__.split("+")[0],
             "form": plan.form, "attention": plan.attention, "dtype": plan.dtype, "cache": plan.cache}
    others = [other for other in listing["programs"] if other["file"] != entry["file"]]
    listing["programs"] = sorted([*others, entry], key=lambda item: item["file"])
    write_json(f"{folder}/cases.json", listing)
    print(f"{path}: {os.path.getsize(path)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True)
    parser.add_argument("names", nargs="*", help="checkpoints; default: all")
    options = parser.parse_args()
    names = options.names or list(CHECKPOINTS)
    for name in names:
        folder = f"{options.output}/{name}"
        if transformers.__version__ == NEWEST:
            make_checkpoint(folder, CHECKPOINTS[name])
            record_cases(folder, name)
        for plan in PROGRAMS:
            if plan.checkpoint == name and plan.version == transformers.__version__:
                torch._dynamo.reset()
                record_program(folder, plan)


if __name__ == "__main__":
    main()
