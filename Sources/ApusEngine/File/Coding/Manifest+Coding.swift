import ApusGraph
import ApusSupport

extension EngineManifest {
    /// The manifest as JSON; device and layout stand in the header, the sources in a section of their own.
    var json: JSONValue {
        .object([
            ("apus", .string(apusVersion)), ("model", info.json), ("generation", generation.json),
            ("precision", .string(precision.rawValue)), ("attention", .string(origin.attention)),
            ("cache", .string(origin.cache)), ("report", .array(origin.report.map { .string($0) })),
            ("import", .string(XXHash64.text(origin.importHash))),
        ])
    }

    /// Reads what ``json`` gives.
    init(_ json: JSON, header: EngineFileHeader) throws(ApusError) {
        let root = FieldReader(json)
        apusVersion = try root["apus"].string
        info = try ModelInfo(try root["model"])
        generation = try GenerationDefaults(try root["generation"])
        precision = try root["precision"].element
        var report: [String] = []
        for line in try root["report"].elements { report.append(try line.string) }
        let hash = try root["import"]
        guard let importHash = UInt64(try hash.string, radix: 16) else { throw hash.failure("a hash") }
        origin = EngineOrigin(
            device: header.device, weightLayout: header.weightLayout, attention: try root["attention"].string,
            cache: try root["cache"].string, report: report, importHash: importHash)
    }
}

extension ModelInfo {
    fileprivate var json: JSONValue {
        .object([
            ("type", .string(modelType)), ("vocabulary", .int(vocabularySize)),
            ("positions", .int(maxPositions)), ("layers", .int(layerCount)),
            ("precision", .string(precision.rawValue)),
            ("end_tokens", .array(endTokens.map { .int(Int($0)) })), ("begin_token", .optional(beginToken)),
        ])
    }

    fileprivate init(_ field: FieldReader) throws(ApusError) {
        self.init(
            modelType: try field["type"].string, vocabularySize: try field["vocabulary"].count,
            maxPositions: try field["positions"].count, layerCount: try field["layers"].count,
            precision: try field["precision"].element, endTokens: try field["end_tokens"].tokens,
            beginToken: try field.optional("begin_token")?.token)
    }
}

extension GenerationDefaults {
    fileprivate var json: JSONValue {
        .object([
            ("end_tokens", .array(endTokens.map { .int(Int($0)) })), ("begin_token", .optional(beginToken)),
            ("pad_token", .optional(padToken)), ("do_sample", .bool(doSample)),
            ("temperature", .optional(temperature)), ("top_k", .optional(topK)), ("top_p", .optional(topP)),
            ("min_p", .optional(minP)), ("repetition_penalty", .optional(repetitionPenalty)),
        ])
    }

    fileprivate init(_ field: FieldReader) throws(ApusError) {
        self.init()
        endTokens = try field["end_tokens"].tokens
        beginToken = try field.optional("begin_token")?.token
        padToken = try field.optional("pad_token")?.token
        doSample = try field["do_sample"].bool
        temperature = try field.optional("temperature")?.double
        topK = try field.optional("top_k")?.int
        topP = try field.optional("top_p")?.double
        minP = try field.optional("min_p")?.double
        repetitionPenalty = try field.optional("repetition_penalty")?.double
    }
}

extension FieldReader {
    fileprivate var tokens: [Int32] {
        get throws(ApusError) {
            var list: [Int32] = []
            for element in try elements { list.append(try element.token) }
            return list
        }
    }
}
