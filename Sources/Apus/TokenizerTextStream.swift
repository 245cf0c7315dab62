import ApusRuntime
import ApusSupport
import ApusTokenizer

/// A streaming detokenizer as the runtime wants it.
final class TokenizerTextStream: TextStream {
    private var detokenizer: StreamingDetokenizer

    init(_ tokenizer: Tokenizer) { detokenizer = tokenizer.makeStreamingDetokenizer() }

    func append(_ id: Int32) throws(ApusError) -> String { try detokenizer.append(id) }

    func finish() throws(ApusError) -> String { try detokenizer.finish() }
}
