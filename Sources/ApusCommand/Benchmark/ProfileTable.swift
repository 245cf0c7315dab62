import Apus

/// What the steps of a pass took, by kernel and weight: the table of `apus bench --profile`.
struct ProfileTable {
    /// Steps that do the same work on tensors of the same type.
    private struct Group {
        let kernel: String
        let weight: String
        var count = 0
        var seconds = 0.0
        var bytes = 0
    }

    private let groups: [Group]
    /// What the pass was, in words.
    let title: String
    /// Times of its steps.
    let profile: StepProfile
    private let bandwidth: Double
    private let isDecode: Bool

    /// Groups the steps of an engine.
    /// - Parameters:
    ///   - title: What the pass was, in words.
    ///   - profile: Times of its steps.
    ///   - batch: Sequences in the pass.
    ///   - depth: Tokens in the cache of each sequence; nil for a prefill, whose reads bound nothing.
    ///   - bandwidth: Measured read bandwidth in bytes a second.
    init(
        _ title: String, _ profile: StepProfile, of engine: Engine, batch: Int, depth: Int?, bandwidth: Double
    ) {
        self.title = title
        self.profile = profile
        self.bandwidth = bandwidth
        isDecode = depth != nil
        var groups: [Group] = []
        var places: [String: Int] = [:]
        for entry in profile.entries {
            let steps = entry.steps.map { profile.plan.steps[$0] }
            let weight =
                steps.count == 1
                ? Self.weight(of: steps[0], profile.plan, engine) : "those of \(steps.count) steps"
            let key = "\(entry.kernel) \(weight)"
            let place = places[key] ?? groups.count
            if place == groups.count {
                places[key] = place
                groups.append(Group(kernel: entry.kernel, weight: weight))
            }
            groups[place].count += 1
            groups[place].seconds += profile.seconds(of: entry) / Double(max(profile.passCount, 1))
            for step in steps {
                groups[place].bytes += engine.bytesRead(
                    by: step, of: profile.plan, batch: batch, depth: depth ?? 0)
            }
        }
        self.groups = groups.sorted { $0.seconds > $1.seconds }
    }

    /// The type of the largest weight that a step reads.
    private static func weight(of step: Plan.Step, _ plan: Plan, _ engine: Engine) -> String {
        var largest: WeightStore.Region?
        for case let operand? in step.operands {
            guard case .weight(let index) = plan.tensors[plan.root(of: operand)].storage else {
                continue
            }
            let region = engine.weights.regions[index]
            if region.byteCount > largest?.byteCount ?? -1 { largest = region }
        }
        return largest.map { "\($0.type)" } ?? ""
    }

    /// The table as text; reads and their rate only where they bound the time.
    var text: String {
        var columns = [
            MarkdownTable.Column(title: title, isNumber: false),
            MarkdownTable.Column(title: "weight", isNumber: false),
            MarkdownTable.Column(title: "steps", isNumber: true),
            MarkdownTable.Column(title: "µs", isNumber: true),
            MarkdownTable.Column(title: "% of pass", isNumber: true),
        ]
        if isDecode {
            columns += ["MB read", "GB/s", "% of floor"].map {
                MarkdownTable.Column(title: $0, isNumber: true)
            }
        }
        var table = MarkdownTable(columns)
        let total = groups.reduce(0) { $0 + $1.seconds }
        for group in groups + [sum] {
            let rate = group.bytes > 0 ? Double(group.bytes) / group.seconds : nil
            let times = [
                group.kernel, group.weight, "\(group.count)", Figures.decimal(group.seconds * 1e6, 1),
                Figures.decimal(group.seconds / total * 100, 1),
            ]
            let reads = [
                Figures.decimal(Double(group.bytes) / 1e6, 2), Figures.decimal(rate.map { $0 / 1e9 }, 1),
                Figures.decimal(rate.map { $0 / bandwidth * 100 }, 0),
            ]
            table.append(isDecode ? times + reads : times)
        }
        return table.text
    }

    private var sum: Group {
        groups.reduce(into: Group(kernel: "all", weight: "")) { sum, group in
            sum.count += group.count
            sum.seconds += group.seconds
            sum.bytes += group.bytes
        }
    }

    /// The table as an array of objects.
    var json: JSONValue {
        .array(
            groups.map { group in
                .object([
                    ("kernel", .string(group.kernel)), ("weight", .string(group.weight)),
                    ("steps", .int(group.count)),
                    ("us", .double(group.seconds * 1e6)),
                    ("bytes_read", isDecode ? .int(group.bytes) : .null),
                ])
            })
    }
}
