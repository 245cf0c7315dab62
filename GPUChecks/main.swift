// Compares what a GPU computes with the reference interpreter, case by case.
//
//   GPUCheck [--device N] [--family NAME]... [--part I/N]
//
// One line a case; the exit code is 1 if any fails. Parts let several processes share the cases.

import ApusCPU
import ApusCUDA
import ApusSupport
import GraphCases

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

var families: Set<String> = []
var (device, part, parts) = (0, 0, 1)
var arguments = CommandLine.arguments.dropFirst()
while let flag = arguments.popFirst(), let value = arguments.popFirst() {
    switch flag {
    case "--device": device = Int(value) ?? 0
    case "--family": families.insert(value)
    case "--part":
        let numbers = value.split(separator: "/").compactMap { Int($0) }
        (part, parts) = numbers.count == 2 && numbers[1] > 0 ? (numbers[0], numbers[1]) : (0, 1)
    default: print("unknown flag \(flag)")
    }
}

let backend = try CUDABackend(device: device, host: try CPUBackend(threads: 1))
let check = CaseCheck(backend: backend)
var (passed, failed, index) = (0, 0, 0)
for family in Family.all where families.isEmpty || families.contains(family.name) {
    for test in family.cases {
        index += 1
        // The GPU runs no pass without tokens.
        guard index % parts == part, test.width > 0 else { continue }
        do throws(ApusError) {
            let remark =
                family.isRefused
                ? try check.refusal(of: test) : "error \(try check.largestError(of: test))"
            print("ok    \(family.name): \(test.name): \(remark)")
            passed += 1
        } catch {
            print("FAIL  \(family.name): \(test.name): \(error)")
            failed += 1
        }
    }
}
print("\(passed) passed, \(failed) failed")
if failed > 0 || passed == 0 { exit(1) }
