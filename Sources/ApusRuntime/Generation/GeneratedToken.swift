/// One token of a sequence at the moment it is chosen.
public struct GeneratedToken {
    /// Index of the prompt that the token follows.
    public let sequence: Int
    /// Number of tokens of the sequence before this one, the prompt left out.
    public let index: Int
    /// The token.
    public let id: Int32
    /// Text that became certain with the token; with the last token, all that is left.
    public let text: String
    /// The model's logits [V] that the token was chosen from, before penalties; valid only during the callback.
    ///
    /// Empty where a device chose the token by itself: ``GenerationOptions/readsLogits`` has them read.
    public let logits: UnsafeBufferPointer<Float>
    /// Why the sequence ends with this token; nil if it goes on.
    public let finishReason: FinishReason?
}
