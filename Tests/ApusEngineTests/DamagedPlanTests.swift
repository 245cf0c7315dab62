import Apus
import ApusGraph
import ApusSupport
import Foundation
import TestNumbers
import Testing

@testable import ApusEngine

/// Files whose hashes are right and whose contents are nonsense.
@Suite struct DamagedPlanTests {
    /// A good file taken apart, to be put together with another plan.
    struct Parts {
        let file = TemporaryFile()
        let sections: [(name: String, bytes: [UInt8])]
        let plan: String

        init(_ fixture: String = "llama2-minimal") throws {
            let whole = try Sample.file(fixture)
            let good = try EngineFile(path: whole.path)
            sections = try good.header.sections.map { ($0.name, try good.bytes(of: $0.name)) }
            plan = String(decoding: try good.bytes(of: EngineSection.plan), as: UTF8.self)
        }

        /// What loading and running ends with after a section was replaced.
        func failure(_ text: String, in section: String = EngineSection.plan) throws -> ApusError? {
            let sections = sections.map { $0.name == section ? ($0.name, Array(text.utf8)) : $0 }
            let header = try EngineFileHeader(
                device: "cpu", weightLayout: CPUBackend.weightLayout,
                sections: sections.map { ($0.0, $0.1.count, SectionHash.hash($0.1)) })
            var bytes = header.encoded
            for (place, section) in zip(header.sections, sections) {
                bytes += [UInt8](repeating: 0, count: place.offset - bytes.count) + section.1
            }
            try file.write(bytes)
            do {
                _ = try Sample.logits(EngineFile(path: file.path).load(for: Sample.backend()))
                return nil
            } catch {
                return try #require(error as? ApusError)
            }
        }
    }

    /// A plan with one thing changed, and a part of the message.
    @Test func nonsenseIsNamed() throws {
        let parts = try Parts()
        #expect(try parts.failure(parts.plan) == nil)
        let cases: [(String, String, String)] = [
            (
                #"{"input":"input_ids"}"#, #"{"input":"last_token_ids"}"#,
                "expected a shape [B], got i32[B, S]"
            ),
            (
                #""operands":[33,5]"#, #""operands":[33,1]"#,
                "expected indices 'last_token_ids', got 'context_lengths'"
            ),
            (#""storage":{"weight":0}"#, #""storage":{"weight":999}"#, "weights, got 999"),
            (#""storage":{"weight":0}"#, #""storage":{"weight":3}"#, "expected f32["),
            (#""operands":[6,"#, #""operands":[99999,"#, "tensors, got 99999"),
            (#""operands":[6,"#, #""operands":[-1,"#, "expected an integer of at least 0"),
            (
                #""kernel":"cpu.linear""#, #""kernel":"cpu.magic""#,
                "expected a kernel of device 'cpu', got 'cpu.magic'"
            ),
            (#""kernel":"cpu.linear""#, #""kernel":"cpu.rms_norm""#, "expected a kernel of device 'cpu'"),
            (#""op":"linear""#, #""op":"perceptron""#, "expected a known op, got 'perceptron'"),
            (
                #""results":["#, #""results":[0,"#,
                "expected results [f32[B, S, 32]], got [i32[B, S], f32[B, S, 32]]"
            ),
            ("num_q_heads = ", "num_q_heads = 9223372036854775", "attention_plugin.C"),
            ("head_size = 16", "head_size = true", "attribute 'head_size': expected int"),
            (#""S in 1..."#, #""B in 1..."#, "expected different names"),
            (#""S in 1..."#, #""T in 1..."#, "expected declared symbols"),
            (#""outputs":[{"#, #""outputs":[],"unused":[{"#, "outputs: expected at least the logits"),
            (
                #""outputs":[{"name":"logits","tensor":"#, #""outputs":[{"name":"logits","tensor":0,"was":"#,
                "expected logits"
            ),
        ]
        for (old, new, message) in cases {
            guard let range = parts.plan.range(of: old) else {
                Issue.record("the plan has no \(old)")
                continue
            }
            let error = try #require(
                try parts.failure(parts.plan.replacingCharacters(in: range, with: new)), "\(new)")
            #expect(error.description.contains(message), "\(error)")
            #expect(error.description.hasPrefix(parts.file.path))
        }
    }

    @Test func circlesOfAliasesAreNoHang() throws {
        let parts = try Parts()
        let range = try #require(parts.plan.range(of: #""storage":{"alias":"#))
        for target in ["999", "50000"] {
            let plan = parts.plan.replacingCharacters(in: range, with: #""storage":{"alias":\#(target)"#)
            #expect(
                try parts.failure(plan)?.message.contains("expected an alias of an earlier tensor") == true)
        }
    }

    @Test func tablesThatAreTooSmallForTheModelAreNamed() throws {
        let parts = try Parts()
        let info = String(decoding: parts.sections[0].bytes, as: UTF8.self)
        func changed(_ key: String, _ value: String) throws -> String? {
            let range = try #require(info.range(of: "\"\(key)\": [0-9]+", options: .regularExpression))
            return try parts.failure(
                info.replacingCharacters(in: range, with: "\"\(key)\": \(value)"), in: EngineSection.info)?
                .message
        }
        #expect(
            try changed("vocabulary", "100000")?.contains("expected a table of at least 100000 rows") == true)
        #expect(
            try changed("positions", "100000")?.contains("expected angles of at least 100000 positions")
                == true)
        #expect(try changed("vocabulary", "0")?.contains("model.vocabulary: expected 1…") == true)
        #expect(try changed("vocabulary", "9223372036854775807")?.contains("model.vocabulary") == true)
        #expect(
            try changed("layers", "-1")?.contains("model.layers: expected an integer of at least 0") == true)
    }

    /// Numbers, types and words of the plan are exchanged at random: whatever passes the check must also run.
    @Test(arguments: 0..<8) func randomPlansNeverCrash(seed: Int) throws {
        try Self.checkRandomPlans(of: Parts(), seed: seed)
    }

    static func checkRandomPlans(of parts: Parts, seed: Int) throws {
        var random = Numbers(seed: UInt64(seed))
        let pattern = try NSRegularExpression(
            pattern:
                #"[0-9]+|f32|i64|\b[BSCP]\b|"(weight|input|activation|alias)"|null|true|\[[0-9,]*\]|"(panels|codes4.panel16|codes8.panel16|groups.panel16)"|u8|f16"#
        )
        let text = parts.plan as NSString
        let places = pattern.matches(in: parts.plan, range: NSRange(location: 0, length: text.length)).map(
            \.range)
        let values = [
            "0", "1", "2", "3", "7", "31", "32", "64", "-1", "4096", "2147483648", "1099511627776",
            "4611686018427387904", "9223372036854775807", "99999999999999999999", "f32", "f16", "bf16", "i64",
            "i32",
            "i8", "bool", "B", "S", "C", "P", "S*S", "B*S*64", "null", "true", "[]", "[0]", "[null]", "{}",
            "\"x\"",
            "\"alias\"", "\"weight\"", "\"input\"", "\"activation\"", "\"panels\"", "\"codes4.panel16\"",
            "\"groups.panel16\"", "u8",
        ]
        var rejected = 0
        let rounds = Fuzz.rounds(60)
        for _ in 0..<rounds {
            var plan = parts.plan
            for _ in 0..<Int.random(in: 1...2, using: &random) {
                let place = places[.random(in: 0..<places.count, using: &random)]
                let value = values[.random(in: 0..<values.count, using: &random)]
                guard place.upperBound <= (plan as NSString).length else { continue }
                plan = (plan as NSString).replacingCharacters(in: place, with: value)
            }
            if try parts.failure(plan) != nil { rejected += 1 }
        }
        #expect(rejected > rounds / 2)
    }
}
