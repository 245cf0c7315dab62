extension OpRegistry {
    /// The ops of Apus itself, one file each in `Ops/`.
    public static let standard = OpRegistry(
        OpSpec.unaries + OpSpec.binaries + OpSpec.comparisons + OpSpec.connectives + OpSpec.triangles
            + OpSpec.markers + [
                .pow, .to, .gelu, .parameter, .constant, .embedding, .linear, .addmm, .matmul, .mean,
                .softmax,
                .rmsNorm, .layerNorm, .addRMSNorm, .addLayerNorm, .view, .transpose, .permute, .unsqueeze,
                .expand,
                .slice, .cat, .rope, .ropeTable, .swiglu, .scaledDotProductAttention, .attentionPlugin,
                .gatherLastToken, .logicalNot, .where, .arange, .full, .size, .causalMask, .index,
                .indexSelect,
                .indexCopy, .kvUpdate, .sum, .any, .cumsum, .pad, .attention, .assertElement,
                .dequantize, .int4GroupwiseGemm, .int8Linear,
            ])
}
