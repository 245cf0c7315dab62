import Apus

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Runs a Python script with text in and text out.
struct PythonProcess {
    /// Names a Python for `--enable-pytorch-run`.
    static let environmentVariable = "APUS_PYTHON"

    /// The interpreters to try, in order.
    static func candidates(environment: String? = getenv(environmentVariable).map { String(cString: $0) })
        -> [String]
    {
        let named = environment.flatMap { $0.isEmpty ? nil : $0 }
        return (named.map { [$0] } ?? []) + ["python3", "python"]
    }

    /// Path or name of the interpreter.
    let interpreter: String
    /// Whether what the script prints to standard error is shown.
    let showsDiagnostics: Bool

    /// How a script ended.
    enum Result: Equatable {
        /// It went well and wrote this to standard output.
        case output(String)
        /// There is no such interpreter.
        case notFound
        /// It ended with a failure, in words.
        case failed(String)
    }

    /// Runs a script.
    /// - Throws: `.io` if the system cannot give it input and output.
    func run(_ script: String, input: String) throws(ApusError) -> Result {
        // The input is a file without a name: a pipe would block once it is full and nobody reads.
        guard let file = tmpfile() else { throw Self.failure("make a temporary file") }
        defer { fclose(file) }
        let bytes = Array(input.utf8)
        guard fwrite(bytes, 1, bytes.count, file) == bytes.count, fflush(file) == 0 else {
            throw Self.failure("write a temporary file")
        }
        rewind(file)
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw Self.failure("make a pipe") }
        let identifier = spawn(script, input: fileno(file), output: ends)
        close(ends[1])
        let output = Self.readAll(ends[0])
        close(ends[0])
        guard let identifier else { return .notFound }
        var status: Int32 = 0
        while waitpid(identifier, &status, 0) < 0 && errno == EINTR {}
        let signal = status & 0x7F
        let code = (status >> 8) & 0xFF
        if signal != 0 { return .failed("was ended by signal \(signal)") }
        // 127 is how a shell or a spawn tells that a command was not there.
        if code == 127 { return .notFound }
        return code == 0
            ? .output(String(decoding: output, as: UTF8.self)) : .failed("ended with status \(code)")
    }

    private func spawn(_ script: String, input: Int32, output: [Int32]) -> pid_t? {
        #if canImport(Glibc)
            var actions = posix_spawn_file_actions_t()
        #else
            var actions: posix_spawn_file_actions_t?
        #endif
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO)
        posix_spawn_file_actions_addclose(&actions, output[0])
        if !showsDiagnostics {
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        }
        var arguments: [UnsafeMutablePointer<CChar>?] = [interpreter, "-c", script].map { (text: String) in
            strdup(text)
        }
        arguments.append(nil)
        defer { arguments.forEach { free($0) } }
        var identifier: pid_t = 0
        let result = posix_spawnp(&identifier, interpreter, &actions, nil, arguments, environ)
        return result == 0 ? identifier : nil
    }

    private static func readAll(_ descriptor: Int32) -> [UInt8] {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &block, block.count)
            if count > 0 {
                bytes += block[..<count]
            } else if count == 0 || errno != EINTR {
                return bytes
            }
        }
    }

    private static func failure(_ verb: String) -> ApusError {
        ApusError(.io, "cannot \(verb): \(String(cString: strerror(errno)))")
    }
}
