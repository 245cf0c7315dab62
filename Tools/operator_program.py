#!/usr/bin/env python3
"""Record a program that calls each operator an importer should know in the forms that language models use.

    python Tools/operator_program.py --output Tests/Fixtures/programs/operators

`raw.pt2` gives many tensors; `lenN.npy` holds them one after the other as float32, for inputs of that length.
"""

import argparse
import os

import numpy
import torch
import torch.nn.functional as F

import export

LENGTHS = (1, 5, 12)
WIDTH = 6


class Operators(torch.nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = torch.nn.Parameter(torch.randn(WIDTH, WIDTH, generator=generator))
        self.bias = torch.nn.Parameter(torch.randn(WIDTH, generator=generator))
        self.register_buffer("table", torch.randn(20, WIDTH, generator=generator))

    def forward(self, x, i):
        """x f32[1, S, 6], i i64[1, S]."""
        groups = (arithmetic, promotion, logic, views, slices, joins, in_place, reductions, norms, made, indexed,
                  chosen, sizes)
        results = [result for group in groups for result in group(x, i)]
        return tuple(results + self.products(x, i) + attention(x))

    def products(self, x, i):
        flat = x.reshape(-1, WIDTH)
        return [F.linear(x, self.weight, self.bias), F.linear(x, self.weight), flat @ self.weight,
                torch.addmm(self.bias, flat, self.weight), torch.bmm(x, x.transpose(1, 2)),
                torch.baddbmm(torch.ones_like(x), x, self.weight[None], beta=0.5, alpha=2.0),
                F.embedding(i % 20, self.table), x @ self.weight.t()]


def arithmetic(x, i):
    return [x + 2, torch.add(x, x, alpha=3), torch.sub(x, x * x, alpha=0.5), 1 - x, torch.rsub(x, 2.0, alpha=2), x * 0.25,
            x / 3, i / 4, i // 3, torch.div(x, 0.7, rounding_mode="floor"), i % 5, (i - 7) % 5, x**2, i**3, x**0.0,
            torch.minimum(x, 0.1 * x), torch.maximum(x, x.neg()), x.clamp(-0.5, 0.75), x.clamp(min=0), x.clamp(max=0.5),
            -x, -i, x.abs(), i.abs(), x.exp(), (x.abs() + 1).log(), x.abs().sqrt(), (x.abs() + 1).rsqrt(),
            (x.abs() + 1).reciprocal(), x.sin(), i.cos(), x.tanh(), x.sigmoid(), F.silu(x), F.relu(x), x.erf(), F.gelu(x),
            F.gelu(x, approximate="tanh"), x.square()]


def promotion(x, i):
    half, flag, scalar, i = x.to(torch.float16), x > 0, x.sum(), i[..., None]
    return [i + 0.5, i * x, flag + i, flag * 2.5, flag + True, half + x, half * 2, half + scalar, i + scalar,
            i.to(torch.int32) + i, i.to(torch.int32) * 2, half + torch.tensor(1.5), (x * 3).to(torch.int32),
            x.type_as(i), half.to(torch.bfloat16), x.to(dtype=torch.float16), torch.where(flag, x, 1), half.float(),
            torch.where(flag, i, 0.5), half + x.to(torch.bfloat16), x.float()]


def logic(x, i):
    a, b = x > 0, x < 0.5
    return [a & b, a | b, a ^ b, ~a, torch.logical_and(x, i[..., None]), torch.logical_or(a, b), torch.logical_not(i),
            x == 0, i != 3, i >= 2, i <= 2, x.ge(x.mean()), a & True, torch.logical_xor(a, b)]


def views(x, i):
    length = x.shape[1]
    return [x.view(1, length, 2, 3), x.view(-1, 3), x.reshape(length, WIDTH), x.transpose(1, 2), x.transpose(-1, -2),
            x.permute(2, 0, -2), x.unsqueeze(0), x.unsqueeze(-1), x.squeeze(0), x.unsqueeze(1).squeeze(1),
            x[0].t(), x.expand(3, -1, -1), x.expand(2, 1, length, WIDTH), x.repeat(2, 1, 3), i.repeat(3, 1),
            x.flatten(1, 2), x.unflatten(-1, (3, 2)), x.contiguous().clone(), x.detach(), x.view(1, length, -1, 2),
            x[..., None, :].expand(1, length, 2, WIDTH).reshape(1, 2 * length, WIDTH), i[:, :, None].expand_as(x)]


def slices(x, i):
    length = x.shape[1]
    return [x[:, 0:], x[..., 2:5], x[..., -2:], x[..., :-1], x[..., ::2], x[..., 1::3], x[:, -1], x[:, 0], x[:, :1],
            x[..., 3:100], x[:, length - 1:], x.narrow(2, 1, 4), x.select(-1, -2), *x.split(4, dim=-1),
            *x.split([1, 2, 3], dim=-1), *x.chunk(3, dim=-1), x.unbind(-1)[2], x[:, :length], i[:, -1:],
            torch.slice_scatter(x, torch.zeros(1, length, 2), 2, 1, 3)]


def joins(x, i):
    return [torch.cat([x, x], -1), torch.cat([x[..., 1:], x[..., :1]], dim=2), torch.cat([i, i + 1], 1),
            torch.stack([x, -x], 1), torch.stack([i, i], -1), torch.cat([x, i[..., None]], -1),
            torch.cat([torch.empty(0), x], 1)]


def in_place(x, i):
    a = x.clone()
    a[..., 1:3] = 7.0
    b = x.clone()
    b[:, 0].mul_(2)
    c = x.clone()
    d = c.transpose(1, 2)
    d[:, 2:4] += 1
    e = x.clone()
    f = e.view(1, -1, 2, 3)
    f[:, :, 1].zero_()
    g = e + 1
    h = x.clone()
    h.masked_fill_(h > 0, -1.0)
    j = i.clone()
    k = j[:, :1]
    j.add_(3)
    m = x.clone()
    m[..., 0].copy_(i)
    return [a, b, c, d, e, f, g, h, j, k, m, x.clone().mul_(x).sub_(1), x.clone().fill_(2.5)]


def reductions(x, i):
    return [x.mean(-1), x.mean(-1, keepdim=True), x.mean((0, 2)), x.sum(1), x.sum((1, 2), keepdim=True), i.sum(1),
            (x > 0).sum(-1), i.cumsum(1), x.cumsum(-1), (x > 0).cumsum(1), (x > 1).any(-1), i.any(1), (x > -9).all(2),
            x.softmax(-1), x.softmax(1), x.half().softmax(-1, dtype=torch.float32), i.float().mean(1)]


def norms(x, i):
    scale = torch.arange(WIDTH) / 2 + 1.0
    return [F.layer_norm(x, (WIDTH,)), F.layer_norm(x, (WIDTH,), scale, scale, 1e-3), F.layer_norm(x, (WIDTH,), scale),
            F.rms_norm(x, (WIDTH,), scale, 1e-4), F.rms_norm(x, (WIDTH,)), F.dropout(x, 0.3, training=False)]


def made(x, i):
    length = x.shape[1]
    return [torch.arange(length), torch.arange(2, length + 2), torch.arange(0, 12, 3), torch.arange(length, dtype=torch.float32),
            torch.arange(1.0, 4.0), torch.full((2, length), 0.5), torch.full_like(i, 4), torch.ones(length), x.new_zeros(3, length),
            x.new_ones((), dtype=torch.bool), torch.zeros_like(i), torch.ones_like(x, dtype=torch.bool), x.new_full((2,), -1.5),
            torch.scalar_tensor(float("-inf")), torch.arange(length - 1, -1, -1), torch.tensor([[1, 2], [3, 4]])]


def indexed(x, i):
    places, rows = torch.tensor([2, 0, 5]), torch.arange(x.shape[1])
    put = x.clone()
    put[:, :, places] = 1.25
    return [x[..., places], x[0, rows], x[0, rows[:, None], places], x.index_select(-1, places), i[0][rows],
            x.index_copy(2, places, torch.ones(1, x.shape[1], 3)), put, x[:, rows]]


def chosen(x, i):
    square = x[0] @ x[0].t()
    return [torch.where(x > 0, x, -x), torch.where(x > 0, 1.0, 0.0), torch.where(i > 2, i, 0), x.masked_fill(x < 0, 9.0),
            square.triu(), square.triu(1), square.tril(-1), F.pad(x, (1, 2)), F.pad(x, (0, 0, 2, 1), value=3.0), F.pad(x, (-1, 1)),
            torch.diff(i, prepend=i[:, :1] - 1), torch.diff(x, dim=-1), F.pad(i, (1, 0), value=-1)]


def sizes(x, i):
    length = x.shape[1]
    return [torch.arange(2 * length + 1), x * length, torch.ones(length * length), torch.full((length % 4 + 2,), 2),
            torch.arange(length // 2 + 2), torch.ones(torch.sym_max(length, 4)), torch.ones(torch.sym_min(length, 4) + 1)]


def attention(x):
    q = x.reshape(1, -1, 2, 3).transpose(1, 2)
    more = torch.cat([q, q * 0.5 + 0.1], 2)
    one = more[:, :1]
    length, keys = x.shape[1], 2 * x.shape[1]
    visible = torch.arange(keys) <= torch.arange(length)[:, None] + length
    bias = torch.where(visible, 0.25, float("-inf"))
    attend = F.scaled_dot_product_attention
    return [attend(q, q, q, is_causal=True), attend(q, q, q), attend(q, more, more, is_causal=True), attend(q, more, more, attn_mask=visible),
            attend(q, more, more, attn_mask=bias, scale=0.3), attend(q, one, one, enable_gqa=True)]


def inputs(length):
    generator = torch.Generator().manual_seed(length)
    return (torch.randn(1, length, WIDTH, generator=generator), torch.randint(0, 12, (1, length), generator=generator))


def flat(results):
    return numpy.concatenate([result.to(torch.float32).reshape(-1).numpy() for result in results])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    os.makedirs(options.output, exist_ok=True)
    model = Operators().eval()
    length = torch.export.Dim("length", min=1, max=64)
    with torch.no_grad():
        program = torch.export.export(model, inputs(7), dynamic_shapes=({1: length}, {1: length}), strict=False)
        path = f"{options.output}/raw.pt2"
        export.drop_metadata(program)
        export.save(program, path)
        loaded = torch.export.load(path).module()
        for size in LENGTHS:
            expected, got = flat(model(*inputs(size))), flat(loaded(*inputs(size)))
            if expected.shape != got.shape or not numpy.allclose(expected, got, 1e-3, 1e-3):
                raise SystemExit(f"{path}: differs from eager at length {size}")
            x, i = inputs(size)
            numpy.save(f"{options.output}/len{size}.npy", expected[None])
            numpy.save(f"{options.output}/len{size}.x.npy", x[0].numpy())
            numpy.save(f"{options.output}/len{size}.i.npy", i.float().numpy())
        print(f"{path}: {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
