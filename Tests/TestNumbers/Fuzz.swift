import Foundation

/// Tests with random damage.
package enum Fuzz {
    /// How long such a test goes on: `APUS_FUZZ=100` makes it a hundred times as long.
    package static func rounds(_ count: Int) -> Int {
        count * (ProcessInfo.processInfo.environment["APUS_FUZZ"].flatMap(Int.init) ?? 1)
    }
}
