import ApusSupport
import Testing

@Suite struct HalfTypesTests {
    @Test func everyHalfSurvivesTheWayToFloatAndBack() {
        for bits in UInt16.min...UInt16.max {
            let value = Half(bits: bits).float
            if value.isNaN {
                #expect(Half(value).float.isNaN)
            } else if Half(value).bits != bits {
                Issue.record("half \(bits) became \(Half(value).bits)")
            }
            let brain = BFloat16(bits: bits).float
            if brain.isNaN {
                #expect(BFloat16(brain).float.isNaN)
            } else if BFloat16(brain).bits != bits {
                Issue.record("bfloat16 \(bits) became \(BFloat16(brain).bits)")
            }
        }
    }

    @Test func valuesBetweenTwoNumbersGoToTheNearerAndTiesToEven() {
        for bits in UInt16(0)..<0x7C00 {
            let (low, high) = (Half(bits: bits).float, bits == 0x7BFF ? 65536 : Half(bits: bits + 1).float)
            let middle = low + (high - low) / 2
            let even = bits & 1 == 0 ? bits : bits + 1
            let ok =
                Half(middle).bits == even && Half(middle.nextDown).bits == bits
                && Half(middle.nextUp).bits == bits + 1 && Half(-middle).bits == even | 0x8000
            if !ok { Issue.record("half \(bits)") }
        }
        for bits in UInt16(0)..<0x7F7F {
            let (low, high) = (BFloat16(bits: bits).float, BFloat16(bits: bits + 1).float)
            let middle = low + (high - low) / 2
            let even = bits & 1 == 0 ? bits : bits + 1
            let ok =
                BFloat16(middle).bits == even && BFloat16(middle.nextDown).bits == bits
                && BFloat16(middle.nextUp).bits == bits + 1
            if !ok { Issue.record("bfloat16 \(bits)") }
        }
    }

    @Test func knownPatterns() {
        #expect(Half(1).bits == 0x3C00)
        #expect(Half(-0.1).bits == 0xAE66)
        #expect(Half(bits: 1).float == 0x1p-24)
        #expect(Half(bits: 0xFC00).float == -.infinity)
        #expect(Half(65519.996).bits == 0x7BFF)
        #expect(BFloat16(3.140625).bits == 0x4049)
        #expect(BFloat16(Float.greatestFiniteMagnitude).float == .infinity)
        #expect(BFloat16(bits: 0x8000).float.sign == .minus)
    }
}
