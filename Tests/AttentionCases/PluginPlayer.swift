package import ApusGraph
package import ApusSupport

/// What computes the op of a plugin over memory of its own, on whatever device.
///
/// Operands keep what was written to them; state that the op updates in place stays from run to run.
package protocol PluginPlayer {
    /// Gives an operand its values and, with them, its current shape.
    func write(_ tensor: Tensor, to operand: Int) throws(ApusError)
    /// Runs the op once over what the operands hold.
    func run() throws(ApusError)
    /// The values of a result of the last run.
    func result(_ index: Int) throws(ApusError) -> Tensor
    /// The values that an operand holds now.
    func operand(_ index: Int) throws(ApusError) -> Tensor
}
