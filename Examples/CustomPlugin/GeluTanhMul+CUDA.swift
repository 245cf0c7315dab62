import Apus

extension CUDAKernel {
    /// `gelu_tanh_mul` on CUDA devices: a thread for each element, in a loop over the grid.
    static let geluTanhMul = CUDAKernel(
        source: """
            extern "C" __global__ void gelu_tanh_mul(
                const ELEMENT *__restrict__ gate, const ELEMENT *__restrict__ up, ELEMENT *__restrict__ y,
                long long count) {
                const long long stride = (long long)gridDim.x * blockDim.x;
                for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride) {
                    const float x = gate[i];
                    const float z = 0.7978845608f * (x + 0.044715f * x * x * x);
                    y[i] = 0.5f * x * (1.0f + tanhf(z)) * (float)up[i];
                }
            }
            """,
        refusal: { $0.operands[0]?.element == .f32 ? nil : "gate is not f32" },
        definitions: { _ in ["ELEMENT": "float"] },
        launches: { call in
            let count = call.shapes.results[0].reduce(1, *)
            let blocks = min((count + 255) / 256, 8 * call.processorCount)
            return [
                CUDALaunch(
                    function: "gelu_tanh_mul", grid: .init(max(blocks, 1)), block: .init(256),
                    arguments: [.operand(0), .operand(1), .result(0), .int64(Int64(count))])
            ]
        })
}
