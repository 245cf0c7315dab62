// Compares what a GPU computes with the reference interpreter, and what it makes of the plugins with double precision,
// case by case.
//
//   GPUCheck [--device N] [--family NAME]... [--part I/N]
//
// One line a case; the exit code is 1 if any fails. Parts let several processes share the cases.

import ApusCPU
import ApusCUDA
import ApusSupport

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

let backend: CUDABackend
do throws(ApusError) {
    backend = try CUDABackend(device: device, host: try CPUBackend(threads: 1))
} catch {
    print("error: \(error)")
    exit(1)
}
var (passed, failed, index) = (0, 0, 0)
for family in Family.all where families.isEmpty || families.contains(family.name) {
    for test in family.members {
        index += 1
        guard index % parts == part else { continue }
        do throws(ApusError) {
            print("ok    \(family.name): \(test.name): \(try test.check(backend))")
            passed += 1
        } catch {
            print("FAIL  \(family.name): \(test.name): \(error)")
            failed += 1
        }
    }
}
print("\(passed) passed, \(failed) failed")
if failed > 0 || passed == 0 { exit(1) }
