"""Quantised linear layers in the layouts of public tools, and what the tools make of them again.

Each function takes a weight [N, K] in float32 and returns the tensors of the layer, by the last part of their names, and
the dequantised weight [N, K] in float32, which the tool's own code (or, where it says so, NumPy) computes.

AutoGPTQ 0.7.1 and AutoAWQ 0.2.9 are archived and import things that newer packages no longer have; only the files with
their layers are loaded, so that they need no GPU: `pip install --no-deps auto-gptq==0.7.1 compressed-tensors loguru`,
and the unpacked source of AutoAWQ (`pip download --no-deps --no-binary :all: autoawq`) in PYTHONPATH.
"""

import importlib
import importlib.util
import sys
import types

import numpy
import torch


def module_of(package, name):
    """Loads one module of a package without running the package's __init__."""
    parts = package.split(".")
    for end in range(1, len(parts) + 1):
        parent = ".".join(parts[:end])
        if parent in sys.modules:
            continue
        where = []
        for root in sys.path if end == 1 else sys.modules[".".join(parts[: end - 1])].__path__:
            where.append(f"{root}/{parts[end - 1]}")
        stub = types.ModuleType(parent)
        stub.__path__ = where
        sys.modules[parent] = stub
    return importlib.import_module(f"{package}.{name}")


def grid(weight, bits, group, symmetric):
    """Round-to-nearest scales and zero points [N, G] of groups of consecutive columns; scales are FP16 numbers."""
    rows, columns = weight.shape
    blocks = weight.reshape(rows, columns // group, group)
    low, high = blocks.amin(-1).clamp(max=0), blocks.amax(-1).clamp(min=0)
    levels = 2**bits - 1
    if symmetric:
        scales = (2 * torch.maximum(-low, high) / levels).half().float()
        return scales, torch.full_like(scales, 2 ** (bits - 1))
    scales = ((high - low) / levels).half().float()
    # One at least: version 1 of GPTQ cannot store 0, and 2^bits - 1 at most.
    return scales, (-low / scales).round().clamp(1, levels)


def linear(weight):
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    return layer


def identity_product(layer, columns):
    """What a layer multiplies with: its product with the identity, exact in float32."""
    return layer(torch.eye(columns)).T.contiguous()


def gptq(weight, bits, group, symmetric, version, order=None):
    """AutoGPTQ's QuantLinear; `order` groups the columns as they come in it, as act-order does."""
    qlinear = module_of("auto_gptq.nn_modules.qlinear", "qlinear_cuda").QuantLinear
    columns = weight.shape[1]
    size = columns if group == -1 else group
    places = torch.arange(columns)
    index = (places // size).int()
    if order is not None:
        index = index[torch.argsort(order)]
        places = order
    scales, zeros = grid(weight[:, places], bits, size, symmetric)
    layer = qlinear(bits, group, columns, weight.shape[0], bias=False, weight_dtype=torch.float32)
    layer.pack(linear(weight), scales.clone(), zeros.clone(), index)
    dequantised = identity_product(layer, columns)
    tensors = {"qweight": layer.qweight, "qzeros": layer.qzeros, "scales": layer.scales.half(), "g_idx": layer.g_idx}
    if version == 2:
        # gptqmodel/utils/model.py, convert_gptq_v1_to_v2_format: the only difference.
        tensors["qzeros"] = tensors["qzeros"] + {4: 0x11111111, 8: 0x01010101}[bits]
    return tensors, dequantised


def awq(weight, group):
    """AutoAWQ's WQLinear_GEMM, always with zero points."""
    layers = module_of("awq.modules.linear", "gemm")
    packing = module_of("awq.utils", "packing_utils")
    scales, zeros = grid(weight, 4, group, False)
    layer = layers.WQLinear_GEMM.from_linear(
        linear(weight), 4, group, scales=scales.T.contiguous(), zeros=zeros.T.contiguous())
    dequantised = packing.dequantize_gemm(layer.qweight, layer.qzeros, layer.scales.float(), 4, group)
    return ({"qweight": layer.qweight, "qzeros": layer.qzeros, "scales": layer.scales},
            dequantised.float().T.contiguous())


def compressed_tensors(weight, format, arguments, scale_type):
    """compressed-tensors' compressor of a format; `arguments` are those of `weights` in the config."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**arguments))
    group = arguments.get("group_size") or weight.shape[1]
    scales, zeros = grid(weight, arguments["num_bits"], group, arguments["symmetric"])
    scales = scales.to(scale_type)
    middle = 2 ** (arguments["num_bits"] - 1)
    state = {"weight": weight.clone(), "weight_scale": scales.float(),
             "weight_zero_point": (zeros - middle).to(torch.int8)}
    compressor = BaseCompressor.get_value_from_registry(format)
    packed = compressor.compress(state, scheme)
    dequantised = compressor.decompress(packed, scheme)["weight"].float().contiguous()
    return {**packed, "weight_scale": scales}, dequantised


def compressed_tensors_ordered(weight, arguments, scale_type, order):
    """`actorder: group` as compressed-tensors wrote it up to 0.18: codes in the file's order of columns, beside them the
    group of each column; scales and zero points as ever. The codes are packed by the tool's current code."""
    from compressed_tensors.compressors.pack_quantized import pack_to_int32

    bits, group = arguments["num_bits"], arguments["group_size"]
    scales, zeros = grid(weight[:, order], bits, group, arguments["symmetric"])
    scales = scales.to(scale_type).float()
    index = (torch.arange(weight.shape[1]) // group)[torch.argsort(order)]
    middle = 2 ** (bits - 1)
    zeros = zeros - middle
    codes = (weight / scales[:, index] + zeros[:, index]).round().clamp(-middle, middle - 1).to(torch.int8)
    tensors = {
        "weight_packed": pack_to_int32(codes, bits), "weight_shape": torch.tensor(weight.shape),
        "weight_scale": scales.to(scale_type), "weight_g_idx": index.int(),
    }
    if not arguments["symmetric"]:
        tensors["weight_zero_point"] = pack_to_int32(zeros.to(torch.int8), bits, packed_dim=0)
    return tensors, ((codes - zeros[:, index]) * scales[:, index]).contiguous()


def bitsandbytes(weight):
    """LLM.int8 by layout: codes i8 [N, K], SCB f32 [N] is each row's largest magnitude, weight_format 0 is row-major.

    bitsandbytes multiplies code * SCB * (1/127) from left to right; here, as in Apus, the scale SCB * (1/127) is rounded
    to float32 first, so that a weight may differ in its last bit.
    """
    codes_of = weight.numpy()
    maxima = numpy.abs(codes_of).max(axis=1).astype(numpy.float32)
    codes = numpy.rint(codes_of * (127 / maxima)[:, None]).astype(numpy.int8)
    scales = maxima * numpy.float32(1 / 127)
    dequantised = codes.astype(numpy.float32) * scales[:, None]
    tensors = {"weight": torch.from_numpy(codes), "SCB": torch.from_numpy(maxima),
               "weight_format": torch.tensor(0, dtype=torch.uint8)}
    return tensors, torch.from_numpy(dequantised)
