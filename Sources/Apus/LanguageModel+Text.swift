public import ApusRuntime
public import ApusSupport
import ApusTokenizer
import Dispatch
import Synchronization

extension LanguageModel {
    /// Generates from a text until the sequence has ended.
    /// - Parameters:
    ///   - text: The prompt.
    ///   - options: How to choose tokens and when to stop.
    ///   - addSpecialTokens: Whether the tokenizer adds what it adds to a text, such as a token that begins it.
    ///   - onText: Called with each piece of text when it is certain. What it throws ends the call.
    /// - Throws: `.notFound` without a tokenizer; else as ``generate(_:options:onToken:)``.
    public func generate(
        _ text: String, options: GenerationOptions = GenerationOptions(), addSpecialTokens: Bool = true,
        onText: (String) throws(ApusError) -> Void = { _ throws(ApusError) in }
    ) throws(ApusError) -> GenerationResult {
        let prompt = try encode(text, addSpecialTokens: addSpecialTokens)
        let results = try generate([prompt], options: options) { token throws(ApusError) in
            if !token.text.isEmpty { try onText(token.text) }
        }
        return results[0]
    }

    /// Generates from a text on a thread of its own; the stream gives the text in pieces.
    ///
    /// To stop reading, or to cancel the task that reads, stops the generation.
    public func stream(
        _ text: String, options: GenerationOptions = GenerationOptions(), addSpecialTokens: Bool = true
    ) -> AsyncThrowingStream<String, any Error> {
        AsyncThrowingStream { continuation in
            let isCancelled = CancellationFlag()
            continuation.onTermination = { _ in isCancelled.set() }
            // A generation blocks its thread for long: it must not take one of the tasks' threads.
            DispatchQueue.global(qos: .userInitiated).async {
                do throws(ApusError) {
                    let prompt = try self.encode(text, addSpecialTokens: addSpecialTokens)
                    _ = try self.generate([prompt], options: options) { token throws(ApusError) in
                        if isCancelled.isSet { throw ApusError(.cancelled, "the generation was cancelled") }
                        if !token.text.isEmpty { continuation.yield(token.text) }
                    }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
        }
    }

    /// The prompt's tokens.
    /// - Throws: `.notFound` without a tokenizer, and what the tokenizer throws.
    public func encode(_ text: String, addSpecialTokens: Bool = true) throws(ApusError) -> [Int32] {
        guard let tokenizer else {
            throw ApusError(
                .notFound,
                "a text prompt needs a tokenizer, and the model's folder has no tokenizer.json; name a folder with "
                    + "one, or give token ids")
        }
        return try tokenizer.encode(text, addSpecialTokens: addSpecialTokens)
    }
}

/// Set by the reader of a stream, read by its writer.
private final class CancellationFlag: Sendable {
    private let flag = Atomic<Bool>(false)

    var isSet: Bool { flag.load(ordering: .relaxed) }

    func set() { flag.store(true, ordering: .relaxed) }
}
