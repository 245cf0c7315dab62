/// What a quantisation did to a model.
public struct QuantizationReport: Sendable {
    /// What happened to one layer.
    public struct Layer: Sendable {
        /// The module.
        public let name: String
        /// How its weight is stored now.
        public let format: WeightFormat
        /// Squared error of its weight over the weight's squares.
        public internal(set) var weightError: Double
        /// Squared error of its outputs on calibration text over their squares, rounded without factors; nil without
        /// calibration.
        public let plainOutputError: Double?
        /// The same with the factors chosen.
        public let outputError: Double?
        /// The exponent of the factors; nil where none are better, or nothing can take them.
        public let alpha: Double?
    }

    /// The layers in the order of the model.
    public internal(set) var layers: [Layer] = []
    /// Tokens that the calibration ran; 0 without one.
    public internal(set) var calibrationTokens = 0
    /// Bytes of weights before.
    public internal(set) var sourceBytes = 0
    /// Bytes of weights written.
    public internal(set) var byteCount = 0
    /// Files of weights written.
    public internal(set) var fileCount = 0
}
