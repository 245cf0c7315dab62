#!/usr/bin/env python3
"""Greedy generation in PyTorch and transformers, with and without a KV cache, as one JSON object.

    python compare_transformers.py --model DIR --input-ids "[1, 2, 3]" --num-tokens 128 --precision FP32

Prints {"torch", "transformers", "with_cache", "without_cache"} on standard output and nothing else; each run
holds "token_ids", "ttft_ms", "total_ms" and "tokens_per_second" (after the first token). Runs on the CPU,
after one untimed warm-up token. Needs: pip install torch transformers
"""

import argparse
import json
import os
import sys
import time

PRECISIONS = {"FP32": "float32", "FP16": "float16", "BF16": "bfloat16"}


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="a checkpoint folder")
    parser.add_argument("--input-ids", required=True, help="JSON array of token ids")
    parser.add_argument("--num-tokens", type=int, required=True)
    parser.add_argument("--precision", choices=PRECISIONS, default="FP32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--ignore-eos", action="store_true")
    arguments = parser.parse_args()
    try:
        arguments.input_ids = json.loads(arguments.input_ids)
    except ValueError as problem:
        parser.error(f"--input-ids: expected a JSON array such as [1, 2, 3]: {problem}")
    if not arguments.input_ids or not all(type(token) is int for token in arguments.input_ids):
        parser.error("--input-ids: expected a JSON array of at least one integer")
    if arguments.num_tokens < 1:
        parser.error("--num-tokens: expected at least 1")
    return arguments


def eos_ids(model):
    """The ids that end a text, as a set."""
    eos = model.generation_config.eos_token_id
    return set(eos if isinstance(eos, list) else [] if eos is None else [eos])


def generate(torch, model, prompt, count, stops, use_cache):
    """Greedy tokens and their timings."""
    start = time.perf_counter()
    ids, cache, tokens, first = torch.tensor([prompt]), None, [], 0.0
    for _ in range(count):
        output = model(ids, past_key_values=cache, use_cache=use_cache, logits_to_keep=1)
        token = int(output.logits[0, -1].argmax())
        tokens.append(token)
        if len(tokens) == 1:
            first = time.perf_counter() - start
        if token in stops:
            break
        following = torch.tensor([[token]])
        if use_cache:
            ids, cache = following, output.past_key_values
        else:
            ids = torch.cat([ids, following], dim=1)
    total = time.perf_counter() - start
    rate = (len(tokens) - 1) / (total - first) if len(tokens) > 1 else None
    return {"token_ids": tokens, "ttft_ms": first * 1e3, "total_ms": total * 1e3, "tokens_per_second": rate}


def main():
    arguments = parse_arguments()
    result_stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to standard error
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import torch
        import transformers
    except ImportError as problem:
        sys.exit(f"{problem}; install it with: pip install torch transformers")

    if not os.path.isdir(arguments.model):
        sys.exit(f"--model: no folder at {arguments.model}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    dtype = getattr(torch, PRECISIONS[arguments.precision])
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, torch_dtype=dtype).eval()
    if max(arguments.input_ids) >= model.config.vocab_size or min(arguments.input_ids) < 0:
        sys.exit(f"--input-ids: expected ids from 0 to {model.config.vocab_size - 1}")
    stops = set() if arguments.ignore_eos else eos_ids(model)
    result = {"torch": torch.__version__, "transformers": transformers.__version__}
    with torch.inference_mode():
        for name, use_cache in (("with_cache", True), ("without_cache", False)):
            generate(torch, model, arguments.input_ids, 1, set(), use_cache)
            result[name] = generate(
                torch, model, arguments.input_ids, arguments.num_tokens, stops, use_cache)
    json.dump(result, result_stream)
    result_stream.write("\n")
    result_stream.flush()


if __name__ == "__main__":
    main()
