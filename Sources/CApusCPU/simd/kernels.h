#pragma once
// Every vector kernel, in order of use, for the instruction set whose vocabulary was included before.
//
// One file per op, under the name that its portable definition has in baseline/. All functions are static:
// each instruction set compiles its own copy, and only the table leaves the file. HAS_VNNI and HAS_BF16 tell
// whether the set has dot products of 8-bit integers and of BF16.

#include "../attention.h"
#include "../baseline/baseline.h"
#include "../panels.h"
#include "../quantized.h"
#include "tables.h"

#include "common.h"
#include "transcendental.h"

#include "binary.h"
#include "convert.h"
#include "layer_norm.h"
#include "reduce.h"
#include "rms_norm.h"
#include "softmax.h"
#include "unary.h"

#include "rope_and_cache.h"
#include "tile.h"

#include "linear_gemm.h"

#include "packed_tile.h"

#include "packed_blocked.h"

#include "packed_linear.h"

#include "linear.h"
#include "matmul.h"

#include "attention_scores.h"
#include "quantize_rows.h"
#include "quantized_linear.h"
#include "exact_linear.h"

#include "attention.h"
#include "attention_decode.h"

#include "table.h"
