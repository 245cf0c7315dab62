import CApusCPU
import TestNumbers
import Testing

@Suite struct ReduceTests {
    @Test(arguments: instructionSets, [1, 2, 15, 16, 17, 63, 64, 65, 200, 1001])
    func argmaxIsTheFirstGreatest(isa: apus_isa, count: Int) throws {
        let table = try kernels(isa)
        var numbers = Numbers(seed: UInt64(count))
        let x = numbers.array(count)
        for at in Set([0, count / 2, count - 1]) {
            var y = x
            y[at] = 5
            y[count - 1] = 5
            #expect(table.argmax(y, count) == at)
            #expect(table.max(y, count) == 5)
            y[at] = .nan
            #expect(table.argmax(y, count) == at)
            #expect(table.max(y, count).isNaN)
        }
        let lowest = [Float](repeating: -.infinity, count: count)
        #expect(table.argmax(lowest, count) == 0)
        #expect(table.max(lowest, count) == -.infinity)
    }

    @Test(arguments: instructionSets)
    func streamReadSeesEveryByte(isa: apus_isa) throws {
        let table = try kernels(isa)
        let baseline = try kernels(APUS_ISA_BASELINE)
        var numbers = Numbers()
        for count in [0, 1, 100, 1024, 5000, 16384] {
            var bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
            let sum = table.stream_read(bytes, count)
            #expect(sum == baseline.stream_read(bytes, count))
            for at in [0, count / 3, count - 1] where count > 0 {
                bytes[at] ^= 0x10
                #expect(table.stream_read(bytes, count) != sum)
                bytes[at] ^= 0x10
            }
        }
        #expect(table.fma_probe(10) > 0)
    }

    @Test func theBestInstructionSetHasKernelsAndAName() throws {
        let best = apus_best_isa()
        #expect(try kernels(best).isa == best)
        #expect(!String(cString: apus_isa_name(best)).isEmpty)
        var short = [CChar](repeating: 1, count: 6)
        apus_cpu_features(&short, 6)
        #expect(short.contains(0))
    }
}
