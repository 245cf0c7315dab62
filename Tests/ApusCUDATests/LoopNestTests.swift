import ApusEngine
import ApusGraph
import ApusSupport
import Testing

@testable import ApusCUDA

/// The loops that kernels walk, against brute force over the dimensions.
@Suite struct LoopNestTests {
    /// A tensor whose sizes are constants, with steps of its own.
    private func view(_ shape: [Int], _ strides: [Int]) throws -> TensorView {
        let limits = SessionLimits(batch: 1, chunk: 1, capacity: 1)
        let symbols = try SymbolValues([], limits: limits) { _ in nil }
        let memory = try #require(UnsafeMutableRawPointer(bitPattern: 4096))
        let tensor = Plan.Tensor(
            name: "x", type: TensorType(.f32, shape.map { Dimension($0) }), storage: .activation,
            layout: Layout(strides: strides.map { Dimension($0) }))
        return try TensorView(tensor, memory, symbols)
    }

    /// The place of each element of a shape in a view that broadcasts to it.
    private func places(_ shape: [Int], _ own: [Int], _ strides: [Int]) -> [Int] {
        (0..<shape.reduce(1, *)).map { index in
            var (rest, place) = (index, 0)
            for axis in shape.indices.reversed() {
                let mine = axis - (shape.count - own.count)
                if mine >= 0, own[mine] != 1 { place += rest % shape[axis] * strides[mine] }
                rest /= shape[axis]
            }
            return place
        }
    }

    /// The places that a kernel computes from the words of a nest.
    private func walked(_ words: [Int], view: Int) -> [Int] {
        let (count, rank) = (words[0], words[1])
        return (0..<count).map { index in
            var (rest, place) = (index, 0)
            for loop in (0..<rank).reversed() {
                let size = words[2 + loop]
                place += rest % size * words[10 + 8 * view + loop]
                rest /= size
            }
            return place
        }
    }

    private func words(_ argument: KernelArgument) -> [Int] {
        guard case .words(let words) = argument else { return [] }
        return words
    }

    private func dense(_ shape: [Int]) -> [Int] {
        shape.indices.map { shape[($0 + 1)...].reduce(1, *) }
    }

    struct Operands: Sendable {
        let result: [Int]
        let a: (shape: [Int], strides: [Int])
        let b: (shape: [Int], strides: [Int])
        let rank: Int
    }

    static let operands = [
        Operands(result: [2, 3, 4], a: ([2, 3, 4], [12, 4, 1]), b: ([4], [1]), rank: 1),
        Operands(result: [2, 3, 4], a: ([2, 3, 4], [3, 1, 6]), b: ([3, 1], [1, 1]), rank: 3),
        Operands(result: [5, 1, 7], a: ([1, 7], [7, 1]), b: ([5, 1, 1], [2, 9, 9]), rank: 2),
        Operands(result: [], a: ([], []), b: ([1], [1]), rank: 0),
        Operands(result: [4, 8, 16], a: ([4, 8, 16], [256, 32, 1]), b: ([8, 16], [16, 1]), rank: 2),
        Operands(result: [3, 0, 2], a: ([3, 0, 2], [0, 2, 1]), b: ([2], [1]), rank: 2),
        Operands(
            result: [2, 1, 3, 1, 4, 5], a: ([1, 3, 1, 4, 5], [60, 20, 20, 5, 1]), b: ([5], [3]), rank: 5),
    ]

    @Test(arguments: operands)
    func walksTheElementsInOrder(test: Operands) throws {
        let (y, a, b) = (
            try view(test.result, dense(test.result)), try view(test.a.shape, test.a.strides),
            try view(test.b.shape, test.b.strides)
        )
        let nest = LoopNest(y, [a, b])
        let words = words(nest.argument)
        #expect(words.count == 42)
        #expect(nest.count == test.result.reduce(1, *))
        #expect(walked(words, view: 0) == places(test.result, test.result, dense(test.result)))
        #expect(walked(words, view: 1) == places(test.result, test.a.shape, test.a.strides))
        #expect(walked(words, view: 2) == places(test.result, test.b.shape, test.b.strides))
        #expect(walked(words, view: 3).allSatisfy { $0 == 0 })
    }

    @Test(arguments: operands)
    func groupsGiveTheSameElements(test: Operands) throws {
        let (y, a, b) = (
            try view(test.result, dense(test.result)), try view(test.a.shape, test.a.strides),
            try view(test.b.shape, test.b.strides)
        )
        let arguments = GroupedNest(LoopNest(y, [a, b]), [y, a, b]).arguments
        guard case .int32(let size) = arguments[1], case .int32(let repeats) = arguments[2] else { return }
        let words = words(arguments[0])
        for (index, (shape, strides)) in [(test.result, dense(test.result)), test.a, test.b].enumerated() {
            let step = repeats >> index & 1 == 1 ? 0 : 1
            let elements = walked(words, view: index).flatMap { place in
                (0..<size).map { place + $0 * step }
            }
            #expect(elements == places(test.result, shape, strides))
        }
        #expect(size == 1 || test.result.reduce(1, *) % size == 0)
    }

    @Test func joinsLoopsWithoutGaps() throws {
        let y = try view([2, 3, 4], [12, 4, 1])
        #expect(LoopNest(y).shape == [24])
        #expect(LoopNest(y).isDense(0))
        #expect(LoopNest(y, [try view([4], [1])]).shape == [6, 4])
        #expect(LoopNest(y, rank: 2).shape == [6])
    }

    @Test func groupsWhereViewsAllowIt() throws {
        func size(_ nest: GroupedNest) -> Int? {
            guard case .int32(let size) = nest.arguments[1] else { return nil }
            return size
        }
        let y = try view([3, 8], [8, 1])
        #expect(size(GroupedNest(LoopNest(y, [y]), [y, y])) == 4)
        let column = try view([3, 1], [1, 1])
        #expect(size(GroupedNest(LoopNest(y, [y, column]), [y, y, column])) == 4)
        let turned = try view([3, 8], [1, 3])
        #expect(size(GroupedNest(LoopNest(y, [turned]), [y, turned])) == 1)
        let apart = try view([3, 8], [9, 1])
        #expect(size(GroupedNest(LoopNest(y, [apart]), [y, apart])) == 1)
        #expect(size(GroupedNest(LoopNest(y, [y]), [y, y], steps: [2])) == 1)
    }
}
