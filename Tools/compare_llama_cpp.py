"""Runs llama.cpp's own llama-bench and `apus bench` in turn on the same shapes and prints the ratios.

    scripts/compare-llama-cpp.sh path/to/llama.cpp/build/bin [--formats F16,BF16,Q4_0] [--measures decode] [--rounds 3]
        [configs]

Both sides get random weights of the shape that each config describes. llama.cpp's go into GGUF files without a
vocabulary, kept in --work-folder; Q4_0 is what llama.cpp's own llama-quantize makes of the F16 file, and stands beside
INT4 with groups of 128 and an INT8 head. The sides take turns within each round, so that a machine whose speed drifts
slows both; figures are medians over the rounds, in tokens per second. llama.cpp runs with and without flash attention
and its better figure counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile

import gguf
import numpy as np

MEASURES = [("prefill", 512, 0), ("prefill", 2048, 0), ("decode", 32, 0), ("decode", 32, 2048)]
PRECISIONS = {"F16": "FP16", "BF16": "BF16", "Q4_0": "INT4"}


def as_bf16(values):
    """The nearest BF16 of finite FP32 values, as the bytes that GGUF holds."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def write_gguf(config, path, is_bf16):
    """Writes random F16 or BF16 weights of a Llama or Qwen 2 shape."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    kv_heads, vocabulary = config["num_key_value_heads"], config["vocab_size"]
    size, inner = config.get("head_dim", hidden // heads), config["intermediate_size"]
    has_bias = config["model_type"] == "qwen2"
    if config["model_type"] not in ("llama", "qwen2") or not config.get("tie_word_embeddings"):
        raise SystemExit(f"{path}: only tied Llama and Qwen 2 shapes are written")
    writer = gguf.GGUFWriter(path, config["model_type"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(size)
    writer.add_vocab_size(vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16 if is_bf16 else gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("no_vocab")
    generator = np.random.default_rng(0)

    def matrix(name, *shape):
        values = generator.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        if is_bf16:
            writer.add_tensor(name, as_bf16(values), raw_shape=shape, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(name, values.astype(np.float16))

    def vector(name, count):
        writer.add_tensor(name, 1 + generator.standard_normal(count, dtype=np.float32) * 0.02)

    matrix("token_embd.weight", vocabulary, hidden)
    vector("output_norm.weight", hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"blk.{layer}."
        vector(prefix + "attn_norm.weight", hidden)
        vector(prefix + "ffn_norm.weight", hidden)
        for part, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            matrix(f"{prefix}attn_{part}.weight", count * size, hidden)
            if has_bias:
                vector(f"{prefix}attn_{part}.bias", count * size)
        matrix(prefix + "attn_output.weight", hidden, heads * size)
        matrix(prefix + "ffn_gate.weight", inner, hidden)
        matrix(prefix + "ffn_up.weight", inner, hidden)
        matrix(prefix + "ffn_down.weight", hidden, inner)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_file(config_path, name, form, folder, llama):
    """The path of a GGUF file of that shape and format, which is made if it is not there."""
    path = os.path.join(folder, f"{name}-random-{form.lower()}.gguf")
    if os.path.exists(path):
        return path
    # Under another name until it is whole: an interrupted run leaves nothing that looks finished.
    unfinished = path + ".part"
    if form == "Q4_0":
        source = gguf_file(config_path, name, "F16", folder, llama)
        command = [os.path.join(llama, "llama-quantize"), source, unfinished, form]
        subprocess.run(command, check=True, capture_output=True)
    else:
        with open(config_path) as file:
            write_gguf(json.load(file), unfinished, form == "BF16")
    os.rename(unfinished, path)
    return path


def run_llama(llama, model, threads, kind, count, depth):
    """Tokens per second of one llama-bench test, the better of flash attention on and off."""
    shape = ["-p", str(count), "-n", "0"] if kind == "prefill" else ["-p", "0", "-n", str(count)]
    command = [os.path.join(llama, "llama-bench"), "-m", model, "-t", str(threads), *shape, "-d", str(depth)]
    command += ["-fa", "on,off", "-r", "1", "-o", "json"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return max(row["avg_ts"] for row in json.loads(output))


def run_apus(program, config, precision, threads, kind, count, depth):
    """Tokens per second of one apus bench row."""
    isl, osl = (count, 1) if kind == "prefill" else (1, count + 1)
    command = [program, "bench", "--config", config, "--random-weights", "--precision", precision, "--json"]
    command += ["--threads", str(threads), "--isl", str(isl), "--osl", str(osl), "--depth", str(depth)]
    command += ["--iterations", "1", "--warmup", "1"]
    row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["rows"][0]
    return row[f"{kind}_tokens_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("llama", help="folder with llama-bench and llama-quantize, built natively")
    parser.add_argument("configs", nargs="+", help="config.json files of Llama or Qwen 2 shapes")
    parser.add_argument("--formats", default="F16,BF16,Q4_0", help="formats of the weights, as llama.cpp names them")
    parser.add_argument("--measures", default="prefill,decode", help="prefill, decode or both")
    parser.add_argument("--apus", default=".build/release/apus", help="path of apus")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work-folder", default=tempfile.gettempdir(), help="where GGUF files are kept")
    arguments = parser.parse_args()
    formats = arguments.formats.split(",")
    if unknown := [form for form in formats if form not in PRECISIONS]:
        parser.error(f"--formats: expected some of {', '.join(PRECISIONS)}, got {', '.join(unknown)}")
    kinds = arguments.measures.split(",")
    measures = [measure for measure in MEASURES if measure[0] in kinds]
    if set(kinds) - {measure[0] for measure in measures}:
        parser.error(f"--measures: expected prefill, decode or both, got {arguments.measures}")
    print("| shape | weights | measure | llama.cpp tok/s | Apus tok/s | ratio |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for config in arguments.configs:
        name = os.path.splitext(os.path.basename(config))[0]
        for form in formats:
            model = gguf_file(config, name, form, arguments.work_folder, arguments.llama)
            for kind, count, depth in measures:
                theirs, ours = [], []
                for _ in range(arguments.rounds):
                    shape = (arguments.threads, kind, count, depth)
                    theirs.append(run_llama(arguments.llama, model, *shape))
                    ours.append(run_apus(arguments.apus, config, PRECISIONS[form], *shape))
                ratio = statistics.median(o / t for o, t in zip(ours, theirs))
                label = f"{kind} {count}" + (f" at depth {depth}" if depth else "")
                row = [name, f"{form} / {PRECISIONS[form]}", label]
                row += [f"{statistics.median(theirs):.1f}", f"{statistics.median(ours):.1f}", f"{ratio:.2f}×"]
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
