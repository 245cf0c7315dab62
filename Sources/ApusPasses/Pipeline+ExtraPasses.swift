public import ApusSupport

/// A pass that a program adds to the pipeline, and its place.
///
///     ExtraPass(RewritePass("fuse-geglu", [Rule(…) { … }]), .last(.fuse))
public struct ExtraPass: Sendable {
    /// Where a pass goes.
    ///
    /// Several at one place run in the order in which they are given.
    public enum Place: Sendable, Hashable {
        /// In front of the first pass of a phase.
        case first(Pipeline.Phase)
        /// Behind the last pass of a phase.
        case last(Pipeline.Phase)
        /// In front of the pass of that name, the first if there are several.
        case before(String)
        /// Behind the pass of that name, the first if there are several.
        case after(String)
    }

    /// The pass.
    public let pass: any Pass
    /// Where it goes.
    public let place: Place

    /// Places a pass.
    public init(_ pass: any Pass, _ place: Place) {
        self.pass = pass
        self.place = place
    }
}

extension Pipeline {
    /// The steps for the backend and cache of the options, with the passes of a program among them.
    /// - Throws: `.invalidInput` for a place beside a pass that this pipeline does not have.
    public static func steps(_ options: PipelineOptions, with extra: [ExtraPass]) throws(ApusError) -> [Step]
    {
        let steps = steps(options)
        var inserted: [Int: [Step]] = [:]
        for added in extra {
            let position = try position(of: added, in: steps)
            let phase = position < steps.count ? steps[position].phase : .finalise
            inserted[position, default: []].append(Step(phase, added.pass, "added by the program"))
        }
        return (0...steps.count).flatMap { position in
            (inserted[position] ?? []) + (position < steps.count ? [steps[position]] : [])
        }
    }

    /// The index of the step that an added pass goes in front of.
    private static func position(of added: ExtraPass, in steps: [Step]) throws(ApusError) -> Int {
        func rank(_ phase: Phase) -> Int { Phase.allCases.firstIndex(of: phase) ?? 0 }
        func index(of name: String) throws(ApusError) -> Int {
            if let index = steps.firstIndex(where: { $0.pass.name == name }) { return index }
            throw ApusError(
                .invalidInput,
                "pass '\(added.pass.name)': there is no pass '\(name)' to stand beside; this pipeline has "
                    + steps.map(\.pass.name).joined(separator: ", "))
        }
        switch added.place {
        case .first(let phase): return steps.firstIndex { rank($0.phase) >= rank(phase) } ?? steps.count
        case .last(let phase): return steps.firstIndex { rank($0.phase) > rank(phase) } ?? steps.count
        case .before(let name): return try index(of: name)
        case .after(let name): return try index(of: name) + 1
        }
    }
}
