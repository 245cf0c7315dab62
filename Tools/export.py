#!/usr/bin/env python3
"""Export a causal language model as a torch.export program that Apus reads.

    pip install torch transformers
    python Tools/export.py --model FOLDER --output model.pt2
    python Tools/export.py --model FOLDER --output model.pt2 --form trt --dtype float16

The program takes `input_ids` and `position_ids`, i64[1, S] with a dynamic S, and gives the logits of all positions;
`docs/torch-export.md` tells what Apus makes of it. The defaults export as Torch-TensorRT's tools/llm does.
"""

import argparse
import os

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers
from transformers import AutoModelForCausalLM

FORMS = ("raw", "core", "trt")
CACHES = ("none", "static", "dynamic")
TRACED_LENGTH = 7  # of the example that is traced; 0 and 1 would be taken for constants


# --- Tracing ------------------------------------------------------------------------------------------------


def load(folder, dtype=torch.float32, attention="sdpa"):
    """The model of a Hugging Face folder, ready for inference."""
    keyword = "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"
    options = {keyword: dtype, "attn_implementation": attention}
    return AutoModelForCausalLM.from_pretrained(folder, **options).eval()


def trace(model, arguments, keywords, shapes, strict=False):
    """torch.export.export, or what Torch-TensorRT falls back to when guards on the length remain."""
    try:
        return torch.export.export(model, arguments, keywords, dynamic_shapes=shapes, strict=strict)
    except Exception as error:  # CUDA kernels of sdpa guard on the padded mask
        if "Constraints violated" not in str(error):
            raise
    return torch.export._trace._export(
        model, arguments, keywords, dynamic_shapes=shapes, strict=strict,
        prefer_deferred_runtime_asserts_over_guards=True)


def positions_of(ids):
    return torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)


def trace_plain(model, max_length, position_ids=True):
    """input_ids, position_ids -> logits."""
    device = next(model.parameters()).device
    ids = torch.ones(1, TRACED_LENGTH, dtype=torch.int64, device=device)
    length = torch.export.Dim("seq_len", min=1, max=max_length)
    keywords, shapes = {"use_cache": False}, {"input_ids": {1: length}, "use_cache": None}
    if position_ids:
        keywords["position_ids"] = positions_of(ids)
        shapes["position_ids"] = {1: length}
    shapes = {"input_ids": shapes.pop("input_ids")} | {key: shapes[key] for key in keywords}
    return trace(model, (ids,), keywords, shapes)


def trace_dynamic_cache(model, max_length):
    """input_ids, position_ids, keys and values of all layers -> logits, longer keys and values."""
    from transformers.cache_utils import DynamicCache
    try:
        from transformers.integrations.executorch import register_dynamic_cache_export_support
        register_dynamic_cache_export_support()
    except ImportError:
        pass  # registered by transformers itself
    past = 5
    ids = torch.ones(1, TRACED_LENGTH, dtype=torch.int64)
    with torch.no_grad():
        cache = model(ids[:, :past], use_cache=True, past_key_values=DynamicCache()).past_key_values
    keywords = {"position_ids": past + positions_of(ids), "past_key_values": cache, "use_cache": True}
    shapes = torch.export.ShapesCollection()
    for tensor in (ids, keywords["position_ids"]):
        shapes[tensor] = {1: torch.export.Dim.AUTO}
    for tensor in torch.utils._pytree.tree_leaves(cache):
        shapes[tensor] = {2: torch.export.Dim.AUTO}
    return trace(model, (ids,), keywords, shapes)


def trace_static_cache(model, max_length):
    """input_ids, cache_position -> logits, with the cache in buffers of the program."""
    from transformers.integrations.executorch import TorchExportableModuleForDecoderOnlyLM
    model.generation_config.cache_implementation = "static"
    model.generation_config.cache_config = {"batch_size": 1, "max_cache_len": max_length}
    model.generation_config.use_cache = True
    model.config.use_cache = True
    try:
        module = TorchExportableModuleForDecoderOnlyLM(model, batch_size=1, max_cache_len=max_length)
    except TypeError:
        module = TorchExportableModuleForDecoderOnlyLM(model)
    ids = torch.ones(1, TRACED_LENGTH, dtype=torch.int64)
    length = torch.export.Dim("seq_len", min=1, max=max_length - 1)
    return module.export(
        input_ids=ids, cache_position=torch.arange(TRACED_LENGTH),
        dynamic_shapes={"input_ids": {1: length}, "cache_position": {0: length}}, strict=True)


# --- Decomposition ------------------------------------------------------------------------------------------


def torch_tensorrt_like_table():
    """A table that gives the form of Torch-TensorRT's: what its converters take whole stays whole."""
    aten = torch.ops.aten
    table = torch.export.default_decompositions()
    for kept in (
        aten.linear.default, aten.matmul.default, aten.scaled_dot_product_attention.default,
        aten.split.Tensor, aten._softmax.default, aten.repeat.default,
    ):
        table.pop(kept, None)
    table[aten.rsqrt.default] = lambda x: aten.div.Tensor(1, aten.sqrt.default(x))
    table[aten.reciprocal.default] = lambda x: aten.div.Tensor(1, x)
    table[aten.view.default] = lambda x, size: aten._reshape_copy.default(x, size)
    table[aten._unsafe_view.default] = lambda x, size: aten._reshape_copy.default(x, size)
    table[aten.silu.default] = lambda x: aten.mul.Tensor(x, aten.sigmoid.default(x))
    table[aten.transpose.int] = _transpose
    table[aten.t.default] = lambda x: aten.permute.default(x, [1, 0])
    table[aten.alias.default] = lambda x: x
    return table


def _transpose(x, dim0, dim1):
    order = list(range(x.dim()))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return torch.ops.aten.permute.default(x, order)


def decompose(program, form):
    """The program in one of its three forms."""
    if form == "core":
        return program.run_decompositions()
    if form == "trt":
        return program.run_decompositions(torch_tensorrt_like_table())
    return program


METADATA = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")


def drop_metadata(program, keys=METADATA):
    """Forgets where each node came from: paths of the exporter's machine, and half of the program's text."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for key in keys:
                    node.meta.pop(key, None)


# --- All of it ----------------------------------------------------------------------------------------------


def export(model, form="raw", cache="none", max_length=512, position_ids=True):
    """An exported program of a loaded model."""
    with torch.no_grad():
        if cache == "static":
            program = trace_static_cache(model, max_length)
        elif cache == "dynamic":
            program = trace_dynamic_cache(model, max_length)
        else:
            program = trace_plain(model, max_length, position_ids)
        return decompose(program, form)


def save(program, path):
    torch.export.save(program, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="Hugging Face folder")
    parser.add_argument("--output", required=True, help="the .pt2 file to write")
    parser.add_argument("--form", choices=FORMS, default="raw", help="as traced, core ATen, or like Torch-TensorRT's")
    parser.add_argument("--attention", choices=("sdpa", "eager"), default="sdpa")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--cache", choices=CACHES, default="none", help="keys and values: recomputed, in buffers, or passed")
    parser.add_argument("--max-length", type=int, help="largest sequence length; default: max_position_embeddings")
    parser.add_argument("--no-position-ids", action="store_true", help="input_ids alone")
    parser.add_argument("--device", default="cpu", help="cpu or cuda: what is traced differs")
    parser.add_argument("--drop-metadata", action="store_true", help="leave out where each node came from")
    options = parser.parse_args()
    if options.cache != "none" and options.no_position_ids:
        parser.error("--no-position-ids goes with --cache none")
    model = load(options.model, getattr(torch, options.dtype), options.attention).to(options.device)
    length = options.max_length or model.config.max_position_embeddings
    program = export(model, options.form, options.cache, length, not options.no_position_ids)
    if options.drop_metadata:
        drop_metadata(program)
    save(program, options.output)
    print(f"{options.output}: {len(program.graph.nodes)} nodes, {os.path.getsize(options.output)} bytes")


if __name__ == "__main__":
    main()
