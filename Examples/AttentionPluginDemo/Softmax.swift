import Foundation

enum Softmax {
    /// Turns scores into weights that sum to 1.
    static func apply(_ scores: inout [Float]) {
        let top = scores.max() ?? 0
        var sum = Float(0)
        for i in scores.indices {
            scores[i] = exp(scores[i] - top)
            sum += scores[i]
        }
        for i in scores.indices { scores[i] /= sum }
    }
}

/// Cosines and sines of every position, [positions, D]: first D/2 cosines, then D/2 sines.
func rotaryTable(positions: Int, size: Int) -> [Float] {
    let half = size / 2
    return (0..<positions).flatMap { position in
        let angles = (0..<half).map { Double(position) * pow(10_000, -Double($0) / Double(half)) }
        return angles.map { Float(cos($0)) } + angles.map { Float(sin($0)) }
    }
}
