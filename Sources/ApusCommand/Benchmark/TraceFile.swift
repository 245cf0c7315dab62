import Apus

/// The steps of profiled passes as a trace of Chrome's format, which `chrome://tracing` and Perfetto show.
///
/// Each pass is a row of its own; its steps follow one another with their mean times, since they were timed one by one.
struct TraceFile {
    private var events: [JSONValue] = []
    private var rows = 0

    /// Adds a pass.
    /// - Parameters:
    ///   - title: The name of its row.
    ///   - profile: Times of its steps.
    mutating func add(_ title: String, _ profile: StepProfile) {
        let row = rows
        rows += 1
        events.append(
            .object([
                ("name", .string("thread_name")), ("ph", .string("M")), ("pid", .int(0)), ("tid", .int(row)),
                ("args", .object([("name", .string(title))])),
            ]))
        var start = 0.0
        for entry in profile.entries {
            guard let last = entry.steps.last else { continue }
            let microseconds = profile.seconds(of: entry) * 1e6 / Double(max(profile.passCount, 1))
            let step = profile.plan.steps[last]
            let result = step.results.first.map { profile.plan.tensors[$0] }
            events.append(
                .object([
                    ("name", .string(entry.kernel)), ("cat", .string(step.op)), ("ph", .string("X")),
                    ("pid", .int(0)), ("tid", .int(row)), ("ts", .double(start)),
                    ("dur", .double(microseconds)),
                    (
                        "args",
                        .object([
                            ("result", .string(result?.name ?? "")),
                            ("type", .string(result.map { "\($0.type)" } ?? "")),
                        ])
                    ),
                ]))
            start += microseconds
        }
    }

    /// Writes the file.
    /// - Throws: `.io` that names the path.
    func write(to path: String) throws(ApusError) {
        let text = JSONValue.object([("traceEvents", .array(events)), ("displayTimeUnit", .string("ns"))])
            .text()
        let file = try OutputFile(path: path, suffix: ".partial")
        var bytes = Array(text.utf8)
        try bytes.withUnsafeMutableBufferPointer { buffer throws(ApusError) in
            try file.write(UnsafeRawBufferPointer(buffer))
        }
        try file.finish()
    }
}
