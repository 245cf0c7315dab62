#!/usr/bin/env python3
"""Record tiny random checkpoints of every model family with what transformers computes from them.

    pip install torch transformers
    python Tools/make_fixtures.py --output Tests/Fixtures            # all of them
    python Tools/make_fixtures.py --output Tests/Fixtures llama2     # only these

The layout is described in Tests/Fixtures/README.md; what each folder is for stands in fixture_models.py.
Every recorded token is checked: with and without a KV cache, with eager and SDPA attention, no near ties, and
a wrong epsilon, activation or rope must change the logits by more than the tolerance of the tests.
"""

import argparse
import copy
import json
import os
import random
import shutil
import zlib

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.cache_utils import DynamicCache

from fixture_files import file_tensors, load, random_weights, write_json, write_tensors
from fixture_models import FIXTURES

STEPS = 16
MIN_MARGIN = {"float32": 3e-3, "float16": 1e-2, "bfloat16": 1e-2}  # top-1 minus top-2, over the spread
TOLERANCE = 2e-5  # of the spread: what the FP32 tests allow
MAX_NOISE = TOLERANCE / 4  # how far transformers may differ from itself in FP32
PROMPT_ATTEMPTS = 3000
DEMO = os.path.join(os.path.dirname(__file__), "../Models/demo")
DEMO_PROMPTS = ("In the beginning", "And God said", "The Lord is my shepherd")
DEMO_STEPS = 48


# --- What transformers computes ---------------------------------------------------------------------------


@torch.inference_mode()
def greedy(model, prompt, steps=STEPS, forced=None):
    """Greedy tokens and the logits each was chosen from, one decode step at a time with a KV cache."""
    cache, ids, tokens, rows = DynamicCache(config=model.config), list(prompt), [], []
    for step in range(steps):
        logits = model(torch.tensor([ids]), past_key_values=cache, use_cache=True).logits[0, -1]
        tokens.append(int(logits.argmax()))
        rows.append(logits.float().numpy())
        ids = [tokens[-1] if forced is None else forced[step]]
    return tokens, numpy.stack(rows)


@torch.inference_mode()
def full_forward(model, ids):
    """Logits of all positions in one pass without a cache."""
    return model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()


def spread_of(logits):
    return float(logits.max() - logits.min())


def margin_of(logits):
    """Smallest distance of the best token to the next, over the spread."""
    top = numpy.sort(logits, axis=-1)
    return float((top[:, -1] - top[:, -2]).min()) / spread_of(logits)


def choose_case(model, length, fixture):
    """A prompt of this length whose greedy tokens are varied and nowhere a near tie."""
    vocabulary = model.config.vocab_size
    source = random.Random(f"{fixture.name}/{length}")
    best = None
    for attempt in range(PROMPT_ATTEMPTS if length > 1 else vocabulary - 3):
        prompt = [3 + attempt] if length == 1 else [source.randrange(vocabulary) for _ in range(length)]
        tokens, logits = greedy(model, prompt, steps=2)
        if margin_of(logits) < MIN_MARGIN[fixture.dtype]:
            continue
        tokens, logits = greedy(model, prompt)
        if len(set(tokens)) < 4:
            continue
        margin = margin_of(logits)
        if best is None or margin > best[0]:
            best = (margin, prompt, tokens, logits)
        if margin >= MIN_MARGIN[fixture.dtype]:
            break
    if best is None or best[0] < 1e-3:
        raise SystemExit(f"{fixture.name}: no prompt of length {length} without near ties; change the seed")
    return best


def self_check(folder, fixture, model, cases):
    """Largest FP32 difference of transformers from itself, over the spread; fails if tokens differ."""
    eager = load(folder, attention="eager")
    double = load(folder, dtype=torch.float64, attention="eager")
    noise = 0.0
    for prompt, tokens, logits in cases:
        ids = prompt + tokens[:-1]
        runs = {"eager": greedy(eager, prompt)[1], "float64": greedy(double, prompt)[1],
                "no cache": full_forward(model, ids)[-STEPS:]}
        for kind, other in runs.items():
            if other.argmax(-1).tolist() != tokens:
                raise SystemExit(f"{fixture.name}: {kind} gives other tokens at length {len(prompt)}")
            noise = max(noise, float(abs(other - logits).max()) / spread_of(logits))
    if noise > MAX_NOISE:
        raise SystemExit(f"{fixture.name}: transformers differs from itself by {noise:.1e} of the spread")
    return noise


def sensitivity(folder, fixture, cases):
    """How far each wrong setting moves the logits, over the spread; fails if a test could not see it."""
    result = {}
    for key, value in fixture.wrong.items():
        model, moved = load(folder, **{key: value}), 0.0
        for prompt, tokens, logits in cases:
            wrong = greedy(model, prompt, forced=tokens)[1]
            moved = max(moved, float(abs(wrong - logits).max()) / spread_of(logits))
        result[key] = float(f"{moved:.2g}")
        if result[key] < 4 * TOLERANCE:
            raise SystemExit(f"{fixture.name}: {key}={value} moves the logits by only {result[key]}")
    return result


def choose_eos(fixture, cases):
    """EOS ids that end some cases early: one id, or two."""
    first = cases[1][1]
    ids = [next(token for step, token in enumerate(first) if step >= 5 and token not in first[:step])]
    if fixture.eos == "list":
        other = cases[2][1]
        ids.append(next(token for step, token in enumerate(other) if step >= 3 and token not in ids))
    return ids[0] if fixture.eos == "int" else ids


def generated(folder, prompt):
    """What `generate` yields with the folder's own EOS settings."""
    model = load(folder)
    ids = torch.tensor([prompt])
    output = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=STEPS,
                            pad_token_id=0)
    eos = model.generation_config.eos_token_id
    return output[0, len(prompt):].tolist(), eos if isinstance(eos, list) else [] if eos is None else [eos]


# --- One fixture ------------------------------------------------------------------------------------------


def record(fixture, output):
    """Write one folder and print a line about it."""
    folder = f"{output}/{fixture.name}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    write_json(f"{folder}/config.json", fixture.config)
    config = AutoConfig.from_pretrained(folder)
    if fixture.resave:
        config.save_pretrained(folder)
    blank = AutoModelForCausalLM.from_config(copy.deepcopy(config))
    weights = random_weights(blank, zlib.crc32(fixture.name.encode()))
    write_tensors(folder, file_tensors(fixture, blank.config, weights), fixture.shards, fixture.metadata)

    model = load(folder)
    chosen = [choose_case(model, length, fixture) for length in fixture.lengths]
    cases = [entry[1:] for entry in chosen]
    if fixture.eos:
        eos = choose_eos(fixture, cases)
        if fixture.eos_in_config:
            raw = json.load(open(f"{folder}/config.json"))
            write_json(f"{folder}/config.json", raw | {"eos_token_id": eos})
        else:
            settings = {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": eos}
            write_json(f"{folder}/generation_config.json", settings | {"transformers_version": "4.46.3"})

    native = load(folder, dtype=getattr(torch, fixture.dtype)) if fixture.dtype != "float32" else None
    rows = []
    for (margin, prompt, tokens, logits) in chosen:
        name = f"len{len(prompt)}"
        numpy.save(f"{folder}/{name}.logits.npy", logits)
        stopped, eos_ids = generated(folder, prompt)
        if stopped != tokens[: len(stopped)]:
            raise SystemExit(f"{fixture.name}: generate() gives {stopped}, the loop {tokens}")
        row = {"name": name, "prompt": prompt, "tokens": tokens, "tokens_with_eos": stopped,
               "logits": f"{name}.logits.npy", "spread": spread_of(logits), "margin": float(f"{margin:.3g}")}
        if native:
            free = greedy(native, prompt)[0]
            forced = greedy(native, prompt, forced=tokens)[1]
            error = abs(forced - logits).max() / spread_of(logits)
            row |= {"native_tokens": free, "native_error": float(f"{error:.2g}")}
            if len(prompt) in (7, 150):
                numpy.save(f"{folder}/{name}.native.npy", forced)
                row["native_logits"] = f"{name}.native.npy"
        if len(prompt) == 7:
            numpy.save(f"{folder}/{name}.all.npy", full_forward(model, prompt))
            row["all_logits"] = f"{name}.all.npy"
        rows.append(row)

    noise = self_check(folder, fixture, model, cases)
    summary = {
        "note": fixture.note, "family": config.model_type, "dtype": fixture.dtype,
        "optional": fixture.optional, "eos_token_ids": eos_ids, "self_difference": float(f"{noise:.2g}"),
        "sensitivity": sensitivity(folder, fixture, cases),
        "torch": torch.__version__, "transformers": transformers.__version__,
    }
    write_cases(folder, summary, rows)
    size = sum(entry.stat().st_size for entry in os.scandir(folder))
    print(f"{fixture.name:26} {size / 1024:6.0f} KiB  margin {min(entry[0] for entry in chosen):.1e}  "
          f"self {noise:.1e}  wrong {summary['sensitivity']}  "
          f"native {max(row.get('native_error', 0) for row in rows):.1e}", flush=True)


def record_demo(output):
    """Greedy tokens of Models/demo, in FP32 arithmetic on its BF16 weights."""
    folder = f"{output}/demo"
    os.makedirs(folder, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    model, eager, native = load(DEMO), load(DEMO, attention="eager"), load(DEMO, dtype=torch.bfloat16)
    rows = []
    for text in DEMO_PROMPTS:
        prompt = tokenizer(text).input_ids
        tokens, logits = greedy(model, prompt, DEMO_STEPS)
        full = full_forward(eager, prompt + tokens[:-1])[-DEMO_STEPS:]
        if full.argmax(-1).tolist() != tokens:
            raise SystemExit(f"demo: {text!r} gives other tokens without a cache")
        rows.append({"text": text, "prompt": prompt, "tokens": tokens,
                     "continuation": tokenizer.decode(tokens), "spread": spread_of(logits),
                     "margin": float(f"{margin_of(logits):.3g}"),
                     "native_tokens": greedy(native, prompt, DEMO_STEPS)[0]})
        print(f"demo  margin {rows[-1]['margin']:.1e}  {text!r} -> {rows[-1]['continuation']!r}", flush=True)
    summary = {"note": "Models/demo, 48 greedy tokens each", "family": "llama", "dtype": "bfloat16",
               "torch": torch.__version__, "transformers": transformers.__version__}
    write_cases(folder, summary, rows)


def write_cases(folder, summary, rows):
    """cases.json, one line per entry and per case."""
    lines = ["  " + json.dumps(key) + ": " + json.dumps(value) for key, value in summary.items()]
    lines.append('  "cases": [\n' + ",\n".join("    " + json.dumps(row) for row in rows) + "\n  ]")
    with open(f"{folder}/cases.json", "w") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", required=True, help="the folder that gets one folder per fixture")
    parser.add_argument("names", nargs="*", help="record only these; `demo` is Models/demo")
    arguments = parser.parse_args()
    names = [fixture.name for fixture in FIXTURES] + ["demo"]
    unknown = set(arguments.names) - set(names)
    if unknown:
        raise SystemExit(f"unknown fixtures {sorted(unknown)}; there are {names}")
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for fixture in FIXTURES:
        if not arguments.names or fixture.name in arguments.names:
            record(fixture, arguments.output)
    if not arguments.names or "demo" in arguments.names:
        record_demo(arguments.output)


if __name__ == "__main__":
    main()
