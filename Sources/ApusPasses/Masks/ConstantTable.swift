import ApusGraph

/// The elements of a constant that a place with free coordinates may stand for: a number, a line or a square.
struct ConstantTable {
    /// A dimension along which the place has a coordinate that is not constant.
    private struct Axis {
        let size: Int
        let stride: Int
        let coordinate: Dimension
    }

    private let values: [Double]
    private let offset: Int
    private let axes: [Axis]

    /// A place of a dense tensor; its constant coordinates must lie in the shape.
    init?(_ values: [Double], _ shape: [Int], _ place: [Dimension]) {
        var (offset, stride, axes) = (0, 1, [Axis]())
        for (size, coordinate) in zip(shape, place).reversed() {
            if let fixed = coordinate.constant {
                guard (0..<size).contains(fixed) else { return nil }
                offset += fixed * stride
            } else if size > 1 {
                axes.insert(Axis(size: size, stride: stride, coordinate: coordinate), at: 0)
            }
            stride *= size
        }
        guard stride == values.count, stride > 0 else { return nil }
        (self.values, self.offset, self.axes) = (values, offset, axes)
    }

    /// The element as a function of the coordinates; nil, with the reason in `problem`, if it is none that is known.
    func pieces(_ domain: IndexDomain, _ problem: inout String?) -> Pieces? {
        guard let last = axes.last else { return Pieces(Term(values[offset])) }
        guard isRepeatedAlongOuterAxes else {
            problem = "it differs along an outer dimension"
            return nil
        }
        guard axes.count >= 2 else { return line(last, domain) }
        let first = axes[axes.count - 2]
        var diagonals: [Int: Double] = [:]
        var odd: (row: Int, column: Int)?
        var (areRowsEqual, areColumnsEqual) = (true, true)
        for row in 0..<first.size {
            for column in 0..<last.size {
                let value = self[row, column]
                if !isSame(diagonals[column - row, default: value], value), odd == nil { odd = (row, column) }
                diagonals[column - row] = value
                areRowsEqual = areRowsEqual && isSame(value, self[0, column])
                areColumnsEqual = areColumnsEqual && isSame(value, self[row, 0])
            }
        }
        if areRowsEqual { return line(last, domain) }
        if areColumnsEqual { return line(first, domain) }
        guard let odd else {
            return grouped(diagonals, last.coordinate - first.coordinate, domain)
        }
        problem =
            "entry [\(odd.row), \(odd.column)] is \(self[odd.row, odd.column]), unlike others of its diagonal"
        return nil
    }

    private subscript(row: Int, column: Int) -> Double {
        values[offset + row * axes[axes.count - 2].stride + column * axes[axes.count - 1].stride]
    }

    private func isSame(_ a: Double, _ b: Double) -> Bool { a == b || (a.isNaN && b.isNaN) }

    /// Whether all but the last two axes repeat the same elements.
    private var isRepeatedAlongOuterAxes: Bool {
        let inner = axes.suffix(2)
        var starts = [0]
        for axis in axes.dropLast(2) {
            starts = starts.flatMap { start in (0..<axis.size).map { start + $0 * axis.stride } }
        }
        var places = [offset]
        for axis in inner {
            places = places.flatMap { start in (0..<axis.size).map { start + $0 * axis.stride } }
        }
        return starts.dropFirst().allSatisfy { start in
            places.allSatisfy { isSame(values[$0], values[$0 + start]) }
        }
    }

    /// Elements along one axis: a polynomial of the coordinate, or numbers for sets of it.
    private func line(_ axis: Axis, _ domain: IndexDomain) -> Pieces? {
        let line = (0..<axis.size).map { values[offset + $0 * axis.stride] }
        if case .integer(let start) = Term(line[0]), let first = start.constant,
            case .integer(let next) = Term(line[1]), let second = next.constant, second != first,
            line.indices.allSatisfy({ line[$0] == Double(first) + Double($0) * Double(second - first) })
        {
            return Pieces(.integer(Dimension(second - first) * axis.coordinate + Dimension(first)))
        }
        return grouped(
            Dictionary(uniqueKeysWithValues: line.enumerated().map { ($0.offset, $0.element) }),
            axis.coordinate, domain)
    }

    /// Numbers by the values of a coordinate; the first and last number hold beyond the table, where no coordinate
    /// leads.
    private func grouped(_ numbers: [Int: Double], _ coordinate: Dimension, _ domain: IndexDomain) -> Pieces?
    {
        let keys = numbers.keys.sorted()
        var groups: [(value: Double, parts: [ClosedRange<Int>])] = []
        for key in keys {
            guard let value = numbers[key] else { continue }
            let lower = key == keys.first ? Int.min : key
            let part = lower...(key == keys.last ? Int.max : key)
            if let place = groups.firstIndex(where: { isSame($0.value, value) }) {
                groups[place].parts.append(part)
            } else {
                groups.append((value, [part]))
            }
            guard groups.count <= Pieces.limit else { return nil }
        }
        return Pieces(
            groups.map { group in
                Pieces.Piece(
                    condition: .lies(coordinate, in: IntervalSet(group.parts)), term: Term(group.value))
            }, domain)
    }
}
