/// Places the nodes of a directed acyclic graph in ranks, from top to bottom, with few crossings.
///
/// Ranks are longest paths; an edge over several ranks gets a bend in each; orders come from sweeps of barycenters.
/// Sugiyama, Tagawa, Toda: Methods for Visual Understanding of Hierarchical System Structures, 1981.
struct LayeredLayout {
    /// Centre of each node.
    private(set) var centres: [(x: Double, y: Double)]
    /// For each edge, the points that its line goes through, ends included.
    private(set) var routes: [[(x: Double, y: Double)]]
    /// Width of the whole drawing.
    private(set) var width = 0.0
    /// Height of the whole drawing.
    private(set) var height = 0.0

    private struct Slot {
        var width: Double
        var rank: Int
        var x = 0.0
        var above: [Int] = []
        var below: [Int] = []
    }

    /// Lays out nodes of given widths and one height.
    /// - Parameters:
    ///   - widths: Width of each node's box.
    ///   - groups: For each node a number that does not fall; a group starts below all of the one before.
    ///   - edges: Pairs of indices, each from an earlier to a later node of a topological order.
    init(
        widths: [Double], groups: [Int], edges: [(from: Int, to: Int)], boxHeight: Double, gap: Double,
        rankGap: Double
    ) {
        var slots = widths.map { Slot(width: $0, rank: 0) }
        var (floor, deepest) = (0, -1)
        var groupStarts: [Int] = []
        for node in widths.indices {
            if node > 0, groups[node] != groups[node - 1] {
                floor = deepest + 1
                groupStarts.append(floor)
            }
            slots[node].rank = floor
            for edge in edges where edge.to == node {
                slots[node].rank = max(slots[node].rank, slots[edge.from].rank + 1)
            }
            deepest = max(deepest, slots[node].rank)
        }
        var chains: [[Int]] = []
        for edge in edges {
            var chain = [edge.from]
            for rank in slots[edge.from].rank + 1..<max(slots[edge.to].rank, slots[edge.from].rank + 1) {
                chain.append(slots.count)
                slots.append(Slot(width: 6, rank: rank))
            }
            chain.append(edge.to)
            for (upper, lower) in zip(chain, chain.dropFirst()) {
                slots[upper].below.append(lower)
                slots[lower].above.append(upper)
            }
            chains.append(chain)
        }
        var ranks = [[Int]](repeating: [], count: (slots.map(\.rank).max() ?? -1) + 1)
        for index in slots.indices { ranks[slots[index].rank].append(index) }

        Self.order(&ranks, slots)
        Self.place(ranks, &slots, gap: gap)

        let left = slots.map { $0.x - $0.width / 2 }.min() ?? 0
        let step = boxHeight + rankGap
        func point(_ index: Int) -> (x: Double, y: Double) {
            let rank = slots[index].rank
            // Groups stand apart by half a gap more, for a frame and its title.
            let shift = Double(groupStarts.filter { $0 <= rank }.count) * rankGap / 2
            return (slots[index].x - left + gap, Double(rank) * step + boxHeight / 2 + rankGap + shift)
        }
        centres = widths.indices.map(point)
        routes = chains.map { $0.map(point) }
        width = (slots.map { $0.x + $0.width / 2 }.max() ?? 0) - left + 2 * gap
        height = Double(ranks.count) * step + rankGap + Double(groupStarts.count) * rankGap / 2
    }

    /// Orders each rank by the mean place of its neighbours, down and up again.
    private static func order(_ ranks: inout [[Int]], _ slots: [Slot]) {
        var places = [Double](repeating: 0, count: slots.count)
        func number(_ rank: [Int]) {
            for (place, index) in rank.enumerated() { places[index] = Double(place) }
        }
        ranks.forEach(number)
        for sweep in 0..<8 {
            let isDown = sweep.isMultiple(of: 2)
            for rank in isDown ? Array(ranks.indices) : ranks.indices.reversed() {
                let keys = ranks[rank].map { index -> Double in
                    let neighbours = isDown ? slots[index].above : slots[index].below
                    guard !neighbours.isEmpty else { return places[index] }
                    return neighbours.reduce(0) { $0 + places[$1] } / Double(neighbours.count)
                }
                let order = ranks[rank].indices.sorted { (keys[$0], $0) < (keys[$1], $1) }
                ranks[rank] = order.map { ranks[rank][$0] }
                number(ranks[rank])
            }
        }
    }

    /// Moves each slot towards its neighbours as far as the order and the gaps of its rank allow.
    private static func place(_ ranks: [[Int]], _ slots: inout [Slot], gap: Double) {
        for rank in ranks {
            var x = 0.0
            for index in rank {
                slots[index].x = x + slots[index].width / 2
                x += slots[index].width + gap
            }
        }
        for sweep in 0..<12 {
            let isDown = sweep.isMultiple(of: 2)
            for rank in isDown ? ranks : ranks.reversed() {
                let wishes = rank.map { index -> Double in
                    let neighbours = isDown ? slots[index].above : slots[index].below
                    guard !neighbours.isEmpty else { return slots[index].x }
                    return neighbours.reduce(0) { $0 + slots[$1].x } / Double(neighbours.count)
                }
                settle(rank, wishes, &slots, gap)
            }
        }
    }

    /// Gives the slots of a rank the wished places, pushed apart where they overlap: neighbours that collide move
    /// as one block around the mean of their wishes.
    private static func settle(_ rank: [Int], _ wishes: [Double], _ slots: inout [Slot], _ gap: Double) {
        var blocks: [(members: [Int], offsets: [Double], sum: Double)] = []
        func left(_ block: (members: [Int], offsets: [Double], sum: Double)) -> Double {
            block.sum / Double(block.members.count)
        }
        func extent(_ block: (members: [Int], offsets: [Double], sum: Double)) -> Double {
            (block.offsets.last ?? 0) + (block.members.last.map { slots[$0].width / 2 } ?? 0)
        }
        for (index, wish) in zip(rank, wishes) {
            blocks.append(([index], [slots[index].width / 2], wish - slots[index].width / 2))
            while blocks.count > 1,
                left(blocks[blocks.count - 2]) + extent(blocks[blocks.count - 2]) + gap
                    > left(blocks[blocks.count - 1])
            {
                let second = blocks.removeLast()
                let first = blocks.removeLast()
                let shift = extent(first) + gap
                blocks.append(
                    (
                        first.members + second.members, first.offsets + second.offsets.map { $0 + shift },
                        first.sum + second.sum - shift * Double(second.members.count)
                    ))
            }
        }
        for block in blocks {
            for (index, offset) in zip(block.members, block.offsets) { slots[index].x = left(block) + offset }
        }
    }
}
