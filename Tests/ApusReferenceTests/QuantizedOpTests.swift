import ApusGraph
import ApusReference
import Testing

@Suite struct QuantizedOpTests {
    private let codes = Tensor(.u8, [2, 4], ints: [0, 8, 15, 1, 7, 9, 8, 8])
    private let scales = Tensor(.f16, [2, 2], floats: [0.5, 2, 0.25, -1])
    private let zeroPoints = Tensor(.u8, [2, 2], ints: [0, 15, 1, 8])

    @Test func codesBecomeNumbersGroupByGroup() throws {
        let type = TensorType(.f32, [2, 4])
        let symmetric = try apply("dequantize", [codes, scales], attributes: "bits = 4", results: type)
        #expect(symmetric[0].floats == [-4, 0, 1.75, -1.75, -2, 2, 0, 0])
        let shifted = try apply(
            "dequantize", [codes, scales, zeroPoints], attributes: "bits = 4", results: type)
        #expect(shifted[0].floats == [0, 4, 3.5, 0, -16, -12, 0, 0])
        let bytes = try apply(
            "dequantize", [Tensor(.u8, [1, 2], ints: [0, 255]), f32([1, 1], [0.5])], attributes: "bits = 8",
            shape: [1, 2])
        #expect(bytes == [-64, 63.5])
    }

    @Test func aCodeThatNeedsMoreBitsIsAnError() {
        let wide = Tensor(.u8, [1, 2], ints: [3, 16])
        let error = #expect(throws: (any Error).self) {
            try apply("dequantize", [wide, f32([1, 1], [1])], attributes: "bits = 4", shape: [1, 2])
        }
        #expect(error.map { "\($0)" } == "%y0 = dequantize: code 16 does not fit 4 bits")
    }

    @Test func linearOfCodesIsLinearOfTheirNumbers() throws {
        let x = f32([2, 4], [1, 2, 3, 4, -1, 0, 0.5, 2])
        let weight = try apply(
            "dequantize", [codes, scales, zeroPoints], attributes: "bits = 4", shape: [2, 4])
        let bias = f32([2], [1, -2])
        let expected = try apply("linear", [x, f32([2, 4], weight), bias], shape: [2, 2])
        for op in ["int4_groupwise_gemm", "int8_linear"] {
            let y = try apply(
                op, [x, codes, scales, zeroPoints, bias],
                attributes: "group_size = 2, activations = \"f32\"", shape: [2, 2])
            #expect(y == expected)
        }
    }

    @Test func activationsAreRoundedPerRowAndGroup() throws {
        // With unit weights each output is one rounded input: the largest of a group stays as it is, 0.3 of a largest
        // 2 is 19.05 steps of 2/127, and half a step goes to the even neighbour.
        let unit = Tensor(.u8, [4, 4], ints: [9, 8, 8, 8, 8, 9, 8, 8, 8, 8, 9, 8, 8, 8, 8, 9])
        let ones = f32([2, 4], [Float](repeating: 1, count: 8))
        let x = f32([3, 4], [0.3, -2, 127, 2.5, 0, 0, 0, 0, 1, 1, .infinity, 1])
        let y = try apply(
            "int4_groupwise_gemm", [x, unit, ones], attributes: "group_size = 2", shape: [3, 4])
        #expect(near(Array(y[..<8]), [19 * 2.0 / 127, -2, 127, 2, 0, 0, 0, 0]))
        // An infinity reaches every output of its row, as NaN.
        #expect(y[8...].allSatisfy { $0.isNaN })
    }
}
