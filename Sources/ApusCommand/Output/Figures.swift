/// Numbers as people read them.
enum Figures {
    /// A number with a fixed count of decimals, rounded to nearest; `–` for nil and anything not finite.
    static func decimal(_ value: Double?, _ places: Int) -> String {
        guard let value, value.isFinite else { return "–" }
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let scaled = (value.magnitude * scale).rounded()
        guard scaled < 9e15 else { return "\(value)" }
        let units = Int(scaled)
        let sign = value < 0 && units > 0 ? "-" : ""
        guard places > 0 else { return "\(sign)\(units)" }
        let divisor = Int(scale)
        let fraction = String(units % divisor)
        return
            "\(sign)\(units / divisor).\(String(repeating: "0", count: places - fraction.count))\(fraction)"
    }

    /// A number with about three significant digits: 0.512, 7.25, 48.3, 512.
    static func short(_ value: Double?) -> String {
        guard let value, value.isFinite else { return "–" }
        let size = value.magnitude
        return decimal(value, size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0)
    }

    /// A duration in milliseconds, with its unit: `12.3 ms`, `4.56 s`.
    static func duration(seconds: Double?) -> String {
        guard let seconds, seconds.isFinite else { return "–" }
        return seconds < 1 ? "\(short(seconds * 1000)) ms" : "\(short(seconds)) s"
    }

    /// A size with a binary unit: `512 MiB`.
    static func bytes(_ count: Int?) -> String {
        guard let count else { return "–" }
        var value = Double(count)
        for unit in ["B", "KiB", "MiB"] {
            if value < 1024 { return unit == "B" ? "\(count) B" : "\(short(value)) \(unit)" }
            value /= 1024
        }
        return "\(short(value)) GiB"
    }
}
