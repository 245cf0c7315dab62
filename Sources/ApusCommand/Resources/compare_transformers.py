"""Generate greedily with PyTorch and transformers, with a KV cache and without, and time both.

`apus run --enable-pytorch-run` runs this with a request on standard input and reads the answer from standard
output; both are one JSON object:

    {"model": FOLDER, "precision": "float16", "prompts": [[1, 2]], "num_tokens": 16, "end_tokens": [0],
     "threads": 2, "iterations": 1}
    {"torch": "2.x", "transformers": "5.x", "with_cache": RUN, "without_cache": RUN}

where RUN is {"token_ids": [[3, 4]], "ttft_ms": [1.0], "total_ms": [2.0]}. Failures are {"missing": MODULE} and
{"error": TEXT}. Prompts of one request have the same length. Everything else is printed to standard error.
"""

import json
import os
import sys
import time


def generate(model, prompts, count, end_tokens, use_cache):
    """Greedy tokens of each sequence, up to and with its end token, and the two times in milliseconds."""
    import torch

    ids = torch.tensor(prompts)
    ended = torch.zeros(len(prompts), dtype=torch.bool)
    tokens = [[] for _ in prompts]
    past = None
    step_ids = ids
    start = time.perf_counter()
    first = None
    for step in range(count):
        output = model(input_ids=step_ids, past_key_values=past, use_cache=use_cache, logits_to_keep=1)
        chosen = output.logits[:, -1].argmax(-1)
        if first is None:
            first = time.perf_counter()
        for row, token in enumerate(chosen.tolist()):
            if not ended[row]:
                tokens[row].append(token)
                ended[row] = token in end_tokens
        if ended.all() or step == count - 1:
            break
        if use_cache:
            past, step_ids = output.past_key_values, chosen[:, None]
        else:
            ids = torch.cat([ids, chosen[:, None]], dim=1)
            step_ids = ids
    end = time.perf_counter()
    return tokens, (first - start) * 1e3, (end - start) * 1e3


def answer(request):
    try:
        import torch
    except ImportError:
        return {"missing": "torch"}
    try:
        import transformers
    except ImportError:
        return {"missing": "transformers"}

    if request["threads"]:
        torch.set_num_threads(request["threads"])
    transformers.utils.logging.disable_progress_bar()
    dtype = getattr(torch, request["precision"])
    model = transformers.AutoModelForCausalLM.from_pretrained(request["model"], torch_dtype=dtype).eval()
    result = {"torch": torch.__version__, "transformers": transformers.__version__}
    with torch.inference_mode():
        for name, use_cache in (("with_cache", True), ("without_cache", False)):
            run = {"token_ids": None, "ttft_ms": [], "total_ms": []}
            # One token untimed: the first pass pays for allocations and for starting threads.
            generate(model, request["prompts"], 1, set(), use_cache)
            for _ in range(request["iterations"]):
                run["token_ids"], ttft, total = generate(
                    model, request["prompts"], request["num_tokens"], set(request["end_tokens"]), use_cache)
                run["ttft_ms"].append(ttft)
                run["total_ms"].append(total)
            result[name] = run
    return result


def main():
    answer_stream = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to standard error
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        result = answer(json.load(sys.stdin))
    except Exception as error:  # whatever PyTorch or transformers refuse is for the caller to show
        result = {"error": f"{type(error).__name__}: {error}"}
    json.dump(result, answer_stream)
    answer_stream.flush()


if __name__ == "__main__":
    main()
