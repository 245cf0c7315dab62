#!/usr/bin/env python3
"""Train the demo model of Models/demo: a small Llama on a plain text file.

    apt-get install bible-kjv bible-kjv-text
    bible -f -l100000 Genesis1:1-Revelation22:21 > kjv.txt
    pip install torch transformers
    python Tools/train_demo.py --text kjv.txt --output Models/demo

Downloads nothing. Seeds are fixed; on one device and one version of PyTorch a run repeats itself up to the
order of floating-point sums. `--tokenizer-only` stops after tokenizer.json; `--steps 20` is a smoke test.
"""

import argparse
import json
import math
import os
import re
import time

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
SPLIT = (  # the pre-tokenizer pattern of Llama 3
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
VOCABULARY = 2048
SEQUENCE = 1024
SAMPLES = ("In the beginning", "And God said", "The Lord is my shepherd")


# --- Text -------------------------------------------------------------------------------------------------


def chapters_of(path):
    """The text's chapters, one verse a line, with the verse references cut off."""
    chapters, current = [], None
    for line in open(path, encoding="utf-8"):
        match = re.match(r"([1-3]?[A-Za-z]+\d+):\d+ (.*\S)", line)
        if not match:
            continue
        if match[1] != current:
            current = match[1]
            chapters.append([])
        chapters[-1].append(match[2])
    if len(chapters) < 100:
        raise SystemExit(f"{path}: found {len(chapters)} chapters; expected lines such as "
                         "`Ge1:1 In the beginning …`, as `bible -f` writes them")
    return ["\n".join(verses) + "\n" for verses in chapters]


def train_tokenizer(chapters):
    """A byte-level BPE tokenizer that splits text as Llama 3 does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(chapters, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[BOS, EOS], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))])
    return tokenizer


def token_stream(tokenizer, chapters):
    """All chapters as one tensor of ids, each between BOS and EOS."""
    eos = tokenizer.token_to_id(EOS)
    ids = [token for encoding in tokenizer.encode_batch(chapters) for token in encoding.ids + [eos]]
    return torch.tensor(ids)


# --- Training ---------------------------------------------------------------------------------------------


def make_model(vocabulary, bos, eos, dropout):
    """A Llama of 3.84 million parameters, with dropout on the residual branches while it trains."""
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=vocabulary, hidden_size=256, intermediate_size=608, num_hidden_layers=5,
        num_attention_heads=8, num_key_value_heads=4, head_dim=32, max_position_embeddings=1024,
        rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True, bos_token_id=bos, eos_token_id=eos,
        attention_dropout=dropout, initializer_range=0.02))
    for layer in model.model.layers:
        for branch in (layer.self_attn.o_proj, layer.mlp.down_proj):
            torch.nn.init.normal_(branch.weight, std=0.02 / math.sqrt(2 * len(model.model.layers)))
            branch.register_forward_hook(
                lambda module, _, output: torch.nn.functional.dropout(output, dropout, module.training))
    return model


def batch_of(stream, openings, size, generator):
    """Windows of the text, a quarter from the opening of a chapter: [size, SEQUENCE] inputs and targets."""
    starts = torch.randint(len(stream) - SEQUENCE - 1, (size,), generator=generator)
    starts[: size // 4] = openings[torch.randint(len(openings), (size // 4,), generator=generator)]
    windows = stream[starts.to(stream.device)[:, None] + torch.arange(SEQUENCE + 1, device=stream.device)]
    return windows[:, :-1], windows[:, 1:]


def loss_of(model, inputs, targets):
    """Mean cross-entropy in nats per token, in BF16 arithmetic on a GPU."""
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=inputs.is_cuda):
        logits = model(inputs, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


@torch.no_grad()
def validation_loss(model, stream):
    """Mean loss over the held-out chapters, window by window."""
    model.eval()
    count = (len(stream) - 1) // SEQUENCE
    inputs = stream[: count * SEQUENCE].view(count, SEQUENCE)
    targets = stream[1 : count * SEQUENCE + 1].view(count, SEQUENCE)
    losses = [loss_of(model, inputs[i : i + 32], targets[i : i + 32]) * len(inputs[i : i + 32])
              for i in range(0, count, 32)]
    model.train()
    return float(sum(losses)) / count


def train(model, training, validation, options, device):
    """AdamW with warm-up and cosine decay; returns the validation loss of the weights it keeps."""
    decayed = [value for value in model.parameters() if value.dim() > 1]
    plain = [value for value in model.parameters() if value.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=options.learning_rate, betas=(0.9, 0.95), fused=device == "cuda")
    generator = torch.Generator().manual_seed(options.seed)
    openings = (training == model.config.bos_token_id).nonzero()[:, 0].cpu()
    openings = openings[openings < len(training) - SEQUENCE - 1]
    best, best_weights, start = math.inf, None, time.time()
    for step in range(options.steps):
        progress = max(step / options.steps, (time.time() - start) / options.seconds)
        if progress >= 1:
            break
        decay = 0.02 + 0.49 * (1 + math.cos(math.pi * progress))
        rate = options.learning_rate * min(1, (step + 1) / 200) * decay
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(model, *batch_of(training, openings, options.batch, generator))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % options.evaluate == 0 or step + 1 == options.steps:
            held_out = validation_loss(model, validation)
            if held_out < best:
                best = held_out
                best_weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
            print(f"step {step + 1:6}  {time.time() - start:5.0f} s  rate {rate:.1e}  loss {loss.item():.4f}"
                  f"  validation {held_out:.4f}  best {best:.4f}", flush=True)
    if options.keep == "best":
        model.load_state_dict(best_weights)
    return validation_loss(model, validation)


# --- Output -----------------------------------------------------------------------------------------------


def save(model, tokenizer, folder):
    """Write the model in BF16, with its tokenizer and generation settings."""
    model = model.to(torch.bfloat16).eval()
    model.config.attention_dropout = 0.0
    model.generation_config = GenerationConfig(
        bos_token_id=model.config.bos_token_id, eos_token_id=model.config.eos_token_id)
    model.save_pretrained(folder)
    tokenizer.save(f"{folder}/tokenizer.json")
    settings = {
        "bos_token": BOS, "eos_token": EOS, "clean_up_tokenization_spaces": False,
        "model_max_length": model.config.max_position_embeddings,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    with open(f"{folder}/tokenizer_config.json", "w") as file:
        file.write(json.dumps(settings, indent=2) + "\n")


@torch.no_grad()
def print_samples(model, tokenizer, device):
    """Greedy and sampled continuations, as a reader would see them."""
    model.eval()
    for prompt in SAMPLES:
        ids = torch.tensor([tokenizer.encode(prompt).ids], device=device)
        for sample in (False, True):
            torch.manual_seed(1)
            settings = {"temperature": 0.8, "top_p": 0.95, "top_k": 0} if sample else {}
            output = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=sample,
                                    max_new_tokens=160, pad_token_id=0, **settings)
            text = tokenizer.decode(output[0].tolist())
            print(f"--- {'sampled' if sample else 'greedy'}\n{text}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", required=True, help="plain text, a verse a line: `Ge1:1 In the …`")
    parser.add_argument("--output", required=True, help="the model folder to write")
    parser.add_argument("--tokenizer-only", action="store_true")
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--seconds", type=float, default=3600, help="decay faster to end in this time")
    parser.add_argument("--batch", type=int, default=16, help="windows of 1024 tokens per step")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--evaluate", type=int, default=500, help="steps between validations")
    parser.add_argument("--keep", choices=("best", "last"), default="last",
                        help="the weights with the best validation loss, or those of the end")
    parser.add_argument("--seed", type=int, default=1611)
    options = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    os.makedirs(options.output, exist_ok=True)
    chapters = chapters_of(options.text)
    tokenizer = train_tokenizer(chapters)
    tokenizer.save(f"{options.output}/tokenizer.json")
    held_out = chapters[25::50]  # 2 % of the chapters, spread over the books
    kept = [chapter for index, chapter in enumerate(chapters) if index % 50 != 25]
    training, validation = (token_stream(tokenizer, part).to(device) for part in (kept, held_out))
    characters = sum(map(len, held_out))
    print(f"{len(chapters)} chapters, {len(training)} training and {len(validation)} validation tokens, "
          f"{characters / len(validation):.2f} characters a token", flush=True)
    if options.tokenizer_only:
        return

    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    model = make_model(tokenizer.get_vocab_size(), bos, eos, options.dropout).to(device)
    print(f"{sum(value.numel() for value in model.parameters())} parameters on {device}", flush=True)
    loss = train(model, training, validation, options, device)
    save(model, tokenizer, options.output)
    bits = loss * len(validation) / characters / math.log(2)
    print(f"validation loss {loss:.4f} nats a token, {bits:.3f} bits a character", flush=True)
    print_samples(model, tokenizer, device)


if __name__ == "__main__":
    main()
