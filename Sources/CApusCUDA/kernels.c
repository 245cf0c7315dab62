// The sources of the kernels, as text: NVRTC compiles them when an engine is built.
// Written by scripts/embed-kernels.sh from the files of Sources/ApusCUDA/Kernels.

#include "apus_cuda.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const char advance_cu[] = {
#embed "../ApusCUDA/Kernels/advance.cu"
    , 0};

static const char argmax_cu[] = {
#embed "../ApusCUDA/Kernels/argmax.cu"
    , 0};

static const char attention_decode_cu[] = {
#embed "../ApusCUDA/Kernels/attention_decode.cu"
    , 0};

static const char attention_prefill_cu[] = {
#embed "../ApusCUDA/Kernels/attention_prefill.cu"
    , 0};

static const char attention_prefill_sm90_cu[] = {
#embed "../ApusCUDA/Kernels/attention_prefill_sm90.cu"
    , 0};

static const char attention_rows_cu[] = {
#embed "../ApusCUDA/Kernels/attention_rows.cu"
    , 0};

static const char binary_cu[] = {
#embed "../ApusCUDA/Kernels/binary.cu"
    , 0};

static const char convert_cu[] = {
#embed "../ApusCUDA/Kernels/convert.cu"
    , 0};

static const char copy_cu[] = {
#embed "../ApusCUDA/Kernels/copy.cu"
    , 0};

static const char decode_stack_cu[] = {
#embed "../ApusCUDA/Kernels/decode_stack.cu"
    , 0};

static const char dequantize_cu[] = {
#embed "../ApusCUDA/Kernels/dequantize.cu"
    , 0};

static const char embedding_cu[] = {
#embed "../ApusCUDA/Kernels/embedding.cu"
    , 0};

static const char embedding_rows_cu[] = {
#embed "../ApusCUDA/Kernels/embedding_rows.cu"
    , 0};

static const char gather_last_token_cu[] = {
#embed "../ApusCUDA/Kernels/gather_last_token.cu"
    , 0};

static const char gemv_cu[] = {
#embed "../ApusCUDA/Kernels/gemv.cu"
    , 0};

static const char gemv_rows_cu[] = {
#embed "../ApusCUDA/Kernels/gemv_rows.cu"
    , 0};

static const char gemv_staged_cu[] = {
#embed "../ApusCUDA/Kernels/gemv_staged.cu"
    , 0};

static const char generate_cu[] = {
#embed "../ApusCUDA/Kernels/generate.cu"
    , 0};

static const char index_cu[] = {
#embed "../ApusCUDA/Kernels/index.cu"
    , 0};

static const char linear_rows_cu[] = {
#embed "../ApusCUDA/Kernels/linear_rows.cu"
    , 0};

static const char matmul_cu[] = {
#embed "../ApusCUDA/Kernels/matmul.cu"
    , 0};

static const char move_cu[] = {
#embed "../ApusCUDA/Kernels/move.cu"
    , 0};

static const char norm_cu[] = {
#embed "../ApusCUDA/Kernels/norm.cu"
    , 0};

static const char quantized_gemm_cu[] = {
#embed "../ApusCUDA/Kernels/quantized_gemm.cu"
    , 0};

static const char quantized_gemv_cu[] = {
#embed "../ApusCUDA/Kernels/quantized_gemv.cu"
    , 0};

static const char read_cu[] = {
#embed "../ApusCUDA/Kernels/read.cu"
    , 0};

static const char reduce_cu[] = {
#embed "../ApusCUDA/Kernels/reduce.cu"
    , 0};

static const char rope_cu[] = {
#embed "../ApusCUDA/Kernels/rope.cu"
    , 0};

static const char rope_kv_cu[] = {
#embed "../ApusCUDA/Kernels/rope_kv.cu"
    , 0};

static const char round_cu[] = {
#embed "../ApusCUDA/Kernels/round.cu"
    , 0};

static const char sample_cu[] = {
#embed "../ApusCUDA/Kernels/sample.cu"
    , 0};

static const char softmax_cu[] = {
#embed "../ApusCUDA/Kernels/softmax.cu"
    , 0};

static const char swiglu_cu[] = {
#embed "../ApusCUDA/Kernels/swiglu.cu"
    , 0};

static const char unary_cu[] = {
#embed "../ApusCUDA/Kernels/unary.cu"
    , 0};

static const char attention_cuh[] = {
#embed "../ApusCUDA/Kernels/attention.cuh"
    , 0};

static const char attention_granule_cuh[] = {
#embed "../ApusCUDA/Kernels/attention_granule.cuh"
    , 0};

static const char attention_merge_cuh[] = {
#embed "../ApusCUDA/Kernels/attention_merge.cuh"
    , 0};

static const char attention_newest_cuh[] = {
#embed "../ApusCUDA/Kernels/attention_newest.cuh"
    , 0};

static const char barriers_cuh[] = {
#embed "../ApusCUDA/Kernels/barriers.cuh"
    , 0};

static const char gemv_cuh[] = {
#embed "../ApusCUDA/Kernels/gemv.cuh"
    , 0};

static const char mma_cuh[] = {
#embed "../ApusCUDA/Kernels/mma.cuh"
    , 0};

static const char quantized_cuh[] = {
#embed "../ApusCUDA/Kernels/quantized.cuh"
    , 0};

static const char quantized_inputs_cuh[] = {
#embed "../ApusCUDA/Kernels/quantized_inputs.cuh"
    , 0};

static const char quantized_ring_cuh[] = {
#embed "../ApusCUDA/Kernels/quantized_ring.cuh"
    , 0};

static const char stack_attention_cuh[] = {
#embed "../ApusCUDA/Kernels/stack_attention.cuh"
    , 0};

static const char stack_exchange_cuh[] = {
#embed "../ApusCUDA/Kernels/stack_exchange.cuh"
    , 0};

static const char stack_product_cuh[] = {
#embed "../ApusCUDA/Kernels/stack_product.cuh"
    , 0};

static const char stack_ring_cuh[] = {
#embed "../ApusCUDA/Kernels/stack_ring.cuh"
    , 0};

static const char strided_cuh[] = {
#embed "../ApusCUDA/Kernels/strided.cuh"
    , 0};

static const char tile_cuh[] = {
#embed "../ApusCUDA/Kernels/tile.cuh"
    , 0};

static const char types_cuh[] = {
#embed "../ApusCUDA/Kernels/types.cuh"
    , 0};

static const char wgmma_cuh[] = {
#embed "../ApusCUDA/Kernels/wgmma.cuh"
    , 0};

static const apus_kernel_source sources[] = {
    {"advance.cu", advance_cu},
    {"argmax.cu", argmax_cu},
    {"attention_decode.cu", attention_decode_cu},
    {"attention_prefill.cu", attention_prefill_cu},
    {"attention_prefill_sm90.cu", attention_prefill_sm90_cu},
    {"attention_rows.cu", attention_rows_cu},
    {"binary.cu", binary_cu},
    {"convert.cu", convert_cu},
    {"copy.cu", copy_cu},
    {"decode_stack.cu", decode_stack_cu},
    {"dequantize.cu", dequantize_cu},
    {"embedding.cu", embedding_cu},
    {"embedding_rows.cu", embedding_rows_cu},
    {"gather_last_token.cu", gather_last_token_cu},
    {"gemv.cu", gemv_cu},
    {"gemv_rows.cu", gemv_rows_cu},
    {"gemv_staged.cu", gemv_staged_cu},
    {"generate.cu", generate_cu},
    {"index.cu", index_cu},
    {"linear_rows.cu", linear_rows_cu},
    {"matmul.cu", matmul_cu},
    {"move.cu", move_cu},
    {"norm.cu", norm_cu},
    {"quantized_gemm.cu", quantized_gemm_cu},
    {"quantized_gemv.cu", quantized_gemv_cu},
    {"read.cu", read_cu},
    {"reduce.cu", reduce_cu},
    {"rope.cu", rope_cu},
    {"rope_kv.cu", rope_kv_cu},
    {"round.cu", round_cu},
    {"sample.cu", sample_cu},
    {"softmax.cu", softmax_cu},
    {"swiglu.cu", swiglu_cu},
    {"unary.cu", unary_cu},
    {"attention.cuh", attention_cuh},
    {"attention_granule.cuh", attention_granule_cuh},
    {"attention_merge.cuh", attention_merge_cuh},
    {"attention_newest.cuh", attention_newest_cuh},
    {"barriers.cuh", barriers_cuh},
    {"gemv.cuh", gemv_cuh},
    {"mma.cuh", mma_cuh},
    {"quantized.cuh", quantized_cuh},
    {"quantized_inputs.cuh", quantized_inputs_cuh},
    {"quantized_ring.cuh", quantized_ring_cuh},
    {"stack_attention.cuh", stack_attention_cuh},
    {"stack_exchange.cuh", stack_exchange_cuh},
    {"stack_product.cuh", stack_product_cuh},
    {"stack_ring.cuh", stack_ring_cuh},
    {"strided.cuh", strided_cuh},
    {"tile.cuh", tile_cuh},
    {"types.cuh", types_cuh},
    {"wgmma.cuh", wgmma_cuh},
};

apus_kernel_source apus_kernel_source_at(int index) {
    int count = sizeof sources / sizeof sources[0];
    apus_kernel_source none = {0, 0};
    return index >= 0 && index < count ? sources[index] : none;
}
