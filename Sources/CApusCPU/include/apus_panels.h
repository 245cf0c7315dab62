#pragma once
// Panels: the order in which kernels read a weight matrix w[n, k].
//
// A panel holds APUS_PANEL features, a lane each: vectors run over features, so a product needs no sum over lanes and
// one number of x feeds a whole panel. Panels follow each other; the last one is filled up with zeros.
//
//   f32, f16   [n / 16][k][16]
//   bf16       [n / 16][ceil(k / 2)][16][2]    pairs of neighbouring k, as the dot products of BF16 read them
//
// A product with one row and one with many read the same bytes.

#include <stddef.h>

enum {
    APUS_PANEL = 16  ///< features of a panel
};

/// Bytes that w[n, k] takes in panels; `dtype` is an `apus_dtype`.
size_t apus_panel_bytes(int dtype, size_t n, size_t k);

/// Packs features [n0, n1) of `w`, dtype[n, k] with rows `ldw` elements apart, into `panels`, which hold all n.
///
/// n0 is a multiple of APUS_PANEL, n1 too or n: any number of threads may pack parts of one matrix.
void apus_pack_panels(
    int dtype, const void *w, size_t ldw, size_t n, size_t k, size_t n0, size_t n1, void *panels);

/// Copies feature `n` of `panels` to `row`, k elements of the same type side by side.
void apus_panel_row(int dtype, const void *panels, size_t n, size_t k, void *row);
