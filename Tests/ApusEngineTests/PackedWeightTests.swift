import Apus
import Foundation
import Testing

@testable import ApusEngine

/// Packings in engine files: each weight must lie as its kernel reads it, or the file is refused.
@Suite struct PackedWeightTests {
    /// Packings of a plan by how many weights have them.
    private func packings(_ fixture: String) throws -> [String: Int] {
        let plan = try Sample.compile(Sample.imported(fixture)).plan
        return plan.tensors.reduce(into: [:]) { $0[$1.packing ?? "", default: 0] += 1 }
    }

    @Test func quantizedAndPlainWeightsArePacked() throws {
        let mixed = try packings("quantised/ct-int4")
        #expect(mixed["codes4.panel16"] ?? 0 >= 4 && mixed["codes8.panel16"] == 1)
        #expect(mixed["groups.panel16"] == (mixed["codes4.panel16"] ?? 0) + 1)
        #expect(try packings("quantised/awq-int4")["panels"] == 1, "the tied table")
    }

    /// All weights of one packing get another name; both the weights and the tensors say it.
    @Test(arguments: [
        ("codes4.panel16", "codes4.panel32"), ("codes4.panel16", "codes8.panel16"),
        ("codes4.panel16", "panels"),
        ("codes8.panel16", "codes4.panel16"), ("groups.panel16", "codes8.panel16"),
        ("groups.panel16", "magic"),
    ])
    func aPackingThatTheKernelDoesNotReadIsRefused(old: String, new: String) throws {
        let parts = try DamagedPlanTests.Parts("quantised/ct-int4")
        #expect(try parts.failure(parts.plan) == nil)
        let plan = parts.plan.replacingOccurrences(of: "\"\(old)\"", with: "\"\(new)\"")
        let error = try #require(try parts.failure(plan))
        #expect(error.code == .mismatch)
        #expect(
            error.description.contains(
                "expected a weight packed as '\(old)', got one packed as '\(new)'; compile the model anew"),
            "\(error)")
    }

    @Test func aWeightThatIsNotPackedIsRefusedWhereTheKernelReadsPanels() throws {
        let parts = try DamagedPlanTests.Parts("quantised/ct-int4")
        let plan = parts.plan.replacingOccurrences(of: #","packing":"codes8.panel16""#, with: "")
        let error = try #require(try parts.failure(plan))
        // 96 rows of 128 codes are as many bytes in panels: what they are in is all that differs.
        #expect(
            error.description.contains("expected a weight packed as 'codes8.panel16', got one row-major"),
            "\(error)")
        let groups = parts.plan.replacingOccurrences(of: #","packing":"codes4.panel16""#, with: "")
        let sizes = try #require(try parts.failure(groups))
        #expect(sizes.code == .invalidInput && sizes.description.contains("got u8["), "\(sizes)")
    }

    @Test func aWeightAndItsTensorMustAgree() throws {
        let parts = try DamagedPlanTests.Parts("quantised/ct-int4")
        let range = try #require(parts.plan.range(of: #""packing":"groups.panel16""#))
        let plan = parts.plan.replacingCharacters(in: range, with: #""packing":"panels""#)
        let error = try #require(try parts.failure(plan))
        #expect(error.description.contains("the packing of its weight, "), "\(error)")
    }

    /// Fewer bytes than the packing makes; more would overlap the next weight.
    @Test(arguments: ["codes4.panel16", "codes8.panel16", "groups.panel16"])
    func bytesThatThePackingDoesNotMakeAreRefused(packing: String) throws {
        let parts = try DamagedPlanTests.Parts("quantised/ct-int4")
        let expression = try NSRegularExpression(pattern: #""bytes":([0-9]+),"packing":""# + packing)
        let text = parts.plan as NSString
        let match = try #require(
            expression.firstMatch(in: parts.plan, range: NSRange(location: 0, length: text.length)))
        let bytes = try #require(Int(text.substring(with: match.range(at: 1))))
        for wrong in [0, bytes - 1, bytes / 2] {
            let error = try #require(
                try parts.failure(text.replacingCharacters(in: match.range(at: 1), with: "\(wrong)")))
            #expect(error.code == .invalidInput)
            #expect(
                error.description.contains("expected \(bytes) bytes for ")
                    && error.description.contains("packed as '\(packing)', got \(wrong)"), "\(error)")
        }
    }

    @Test(arguments: 0..<4) func randomPlansOfQuantizedEnginesNeverCrash(seed: Int) throws {
        let name = seed % 2 == 0 ? "quantised/ct-int4" : "quantised/awq-int4"
        try DamagedPlanTests.checkRandomPlans(of: DamagedPlanTests.Parts(name), seed: 100 + seed)
    }
}
