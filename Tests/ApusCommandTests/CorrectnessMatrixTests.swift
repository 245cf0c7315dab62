import Apus
import ArgumentParser
import Foundation
import Testing

@testable import ApusCommand

/// What counts as agreement in `apus matrix`.
@Suite struct CorrectnessMatrixTests {
    private static let fixture = EndToEndTests.fixtures + "/llama2-minimal"

    private func matrix(_ precision: Precision, tieLimit: Double?) -> CorrectnessMatrix {
        CorrectnessMatrix(
            columns: [Variant(backend: .plugin, cache: .inPlace)], precision: precision, tokenCount: 8,
            threads: 1, seed: 0, tieLimit: tieLimit)
    }

    /// The expected tokens of a fixture with another in the third place.
    private func withAWrongToken(_ body: (String) throws -> Void) throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: "\(Self.fixture)/cases.json"))
        var object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        var cases = try #require(object["cases"] as? [[String: Any]])
        var tokens = try #require(cases[0]["tokens"] as? [Int])
        tokens[2] = (tokens[2] + 1) % 100
        cases[0]["tokens"] = tokens
        object["cases"] = [cases[0]]
        let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: file) }
        try JSONSerialization.data(withJSONObject: object).write(to: file)
        try body(file.path)
    }

    @Test(arguments: [Precision.fp32, .bf16])
    func tokensThatAreFarApartDiffer(precision: Precision) throws {
        try withAWrongToken { file in
            let row = try matrix(precision, tieLimit: nil).row(Self.fixture, expected: file, progress: nil)
            let cell = try #require(row.cells.first)
            #expect(!cell.agrees && cell.ties.isEmpty)
            #expect(cell.difference?.contains("token 2") == true, "\(cell.difference ?? "")")
        }
    }

    /// With a limit that nothing exceeds, every wrong token is a tie, and the rest is compared behind the expected one.
    @Test func aTieIsNamedAndTheRestCompared() throws {
        try withAWrongToken { file in
            let row = try matrix(.fp32, tieLimit: 1).row(Self.fixture, expected: file, progress: nil)
            let cell = try #require(row.cells.first)
            #expect(cell.agrees)
            #expect(cell.ties.first?.contains("token 2, ") == true, "\(cell.ties)")
            #expect(matrix(.fp32, tieLimit: 1).text([row]).contains("a tie, "))
        }
    }

    @Test func aFixtureAgreesWithoutTies() throws {
        let row = try matrix(.fp32, tieLimit: nil).row(Self.fixture, expected: nil, progress: nil)
        #expect(row.cells.allSatisfy { $0.agrees && $0.ties.isEmpty })
    }
}
