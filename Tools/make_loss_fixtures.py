#!/usr/bin/env python3
"""Record what transformers makes of token sequences: Tests/Fixtures/losses.json, for the tests of evaluations.

    python Tools/make_loss_fixtures.py --fixtures Tests/Fixtures --demo Models/demo

Losses are computed in float64 on the stored weights. Windows are cut as transformers' page on perplexity does it:
each begins `stride` tokens after the one before and scores the tokens that no earlier one has scored.
"""

import argparse
import json
import math
import random

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXT = ("And Moses went up unto God, and the LORD called unto him out of the mountain, saying, Thus shalt thou say to "
        "the house of Jacob, and tell the children of Israel; Ye have seen what I did unto the Egyptians, and how I "
        "bare you on eagles' wings, and brought you unto myself.\n")
CUTS = ((40, 40), (40, 16), (97, 97))


def windows(count, context, stride):
    """Start, end and first scored token of each window."""
    result, done, start = [], 0, 0
    while done < count:
        end, first = min(start + context, count), max(done, start + 1)
        if first < end:
            result.append((start, end, first))
        done, start = end, start + stride
    return result


@torch.no_grad()
def scores(model, ids, context, stride):
    """Nats of each scored token, and the log-probabilities that it was scored by."""
    nats, distributions = [], []
    for start, end, first in windows(len(ids), context, stride):
        rows = model(torch.tensor([ids[start:end]])).logits[0].log_softmax(-1)
        for token in range(first, end):
            distributions.append(rows[token - 1 - start])
            nats.append(-distributions[-1][ids[token]].item())
    return nats, distributions


def row(nats, context, stride):
    """The summary of one way to cut the tokens."""
    mean = sum(nats) / len(nats)
    variance = sum((value - mean) ** 2 for value in nats) / (len(nats) - 1)
    return {"context": context, "stride": stride, "scored": len(nats), "nats": mean,
            "standard_error": math.sqrt(variance / len(nats))}


def quantile(share, values):
    """The smallest of sorted values that at least this share does not exceed."""
    return values[max(math.ceil(share * len(values)) - 1, 0)]


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").double()


def comparison(fixtures, name, other, ids, context, stride):
    """Two models over the same tokens."""
    nats, first = scores(load(f"{fixtures}/{name}"), ids, context, stride)
    others, second = scores(load(f"{fixtures}/{other}"), ids, context, stride)
    divergences = sorted(float((p.exp() * (p - q)).sum()) for p, q in zip(first, second))
    same = sum(int(p.argmax() == q.argmax()) for p, q in zip(first, second))
    return {"model": name, "other": other, "tokens": ids, "context": context, "stride": stride,
            "nats": sum(nats) / len(nats), "other_nats": sum(others) / len(others),
            "mean": sum(divergences) / len(divergences), "median": quantile(0.5, divergences),
            "percentile_99": quantile(0.99, divergences), "max": divergences[-1], "same_top": same / len(nats)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fixtures", required=True)
    parser.add_argument("--demo", required=True, help="the folder of the demo model")
    options = parser.parse_args()
    generator = random.Random(5)
    models = []
    for name in ("llama3-tied", "gpt2", "qwen2", "qwen3"):
        model = load(f"{options.fixtures}/{name}")
        ids = [generator.randrange(model.config.vocab_size) for _ in range(97)]
        models.append({"model": name, "tokens": ids,
                       "rows": [row(scores(model, ids, *cut)[0], *cut) for cut in CUTS]})
    ids = AutoTokenizer.from_pretrained(options.demo)(TEXT).input_ids
    demo = {"text": TEXT, "tokens": ids, "rows": [row(scores(load(options.demo), ids, 64, 64)[0], 64, 64)]}
    pair = comparison(options.fixtures, "llama3-tied", "llama2", models[0]["tokens"], 40, 16)
    with open(f"{options.fixtures}/losses.json", "w") as file:
        json.dump({"models": models, "demo": demo, "comparison": pair}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
