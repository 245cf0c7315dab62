import CApusCPU

/// Kernels that work on rows of activations: what a step costs that is not a product.
struct RowCases {
    let workspace: Workspace

    /// All cases; rows of a model's hidden and intermediate sizes fit a core's caches, so nothing bounds them but time.
    var all: [KernelCase] {
        let kernels = workspace.kernels
        var cases: [KernelCase] = []
        func add(
            _ kernel: String, _ shape: String, _ run: @escaping (_ x: UnsafeMutablePointer<Float>) -> Void
        ) {
            cases.append(
                KernelCase(kernel: kernel, shape: shape, bytes: 0, operations: 0) {
                    let x = try Memory(byteCount: 4 << 20).filledWithFloats()
                    return { _ in run(x) }
                })
        }
        for size in [896, 2048, 4096] {
            add("add_rms_norm", "width \(size)") { x in
                kernels.add_rms_norm(x, x + size, x + 2 * size, 1e-6, x + 3 * size, x + 4 * size, 1, size)
            }
        }
        for size in [4864, 8192] {
            add("silu · up", "width \(size)") { x in
                kernels.gated(APUS_SILU, x, size, x + size, size, x + 2 * size, size, 1, size)
            }
        }
        for size in [32000, 128_256, 151_936] {
            add("argmax", "vocabulary \(size)") { x in blackHole(kernels.argmax(x, size)) }
        }
        return cases
    }
}

/// Takes a result, so that computing it is not left out.
@inline(never)
func blackHole(_ value: Int) {}
