import Apus
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Draws the progress of loading and building as one line on a terminal that is erased when it is done.
final class ProgressBar: ProgressReporter {
    private struct State {
        var name = ""
        var percent = -1
    }
    private let state = Mutex(State())
    private let write: @Sendable (String) -> Void

    /// A bar on standard error, nil if that is not a terminal or a dumb one.
    static func onTerminal() -> ProgressBar? {
        guard isatty(STDERR_FILENO) == 1 else { return nil }
        if let terminal = getenv("TERM"), String(cString: terminal) == "dumb" { return nil }
        return ProgressBar { text in
            var text = text
            text.withUTF8 { try? ByteOutput.write(UnsafeRawBufferPointer($0), to: STDERR_FILENO) }
        }
    }

    /// A bar that draws through `write`.
    init(write: @escaping @Sendable (String) -> Void) { self.write = write }

    func progress(_ name: String, completed: Int, total: Int) {
        let fraction = total > 0 ? min(max(Double(completed) / Double(total), 0), 1) : 0
        let percent = Int(fraction * 100)
        state.withLock { state in
            guard state.name != name || state.percent != percent else { return }
            state.name = name
            state.percent = percent
            write("\r\u{1B}[K" + Self.line(name, percent: percent))
        }
    }

    /// Erases the bar.
    func finish() {
        state.withLock { state in
            guard state.percent >= 0 else { return }
            state = State()
            write("\r\u{1B}[K")
        }
    }

    /// The drawing of one state.
    static func line(_ name: String, percent: Int) -> String {
        let width = 30
        let filled = percent * width / 100
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
        return "\(name) \(bar) \(percent)%"
    }
}
