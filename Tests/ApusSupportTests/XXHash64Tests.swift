import ApusSupport
import Testing

@Suite struct XXHash64Tests {
    /// Lengths around every branch; the numbers are those of the reference implementation.
    @Test(
        arguments: [
            (0, 0xEF46_DB37_51D8_E999, 0xD5AF_BA13_36A3_BE4B),
            (1, 0x1F25_C8D0_BC1F_4BB6, 0x610F_93F8_C898_89FE),
            (3, 0x31D2_363F_52E5_64C9, 0x2D80_E074_130D_0176),
            (4, 0x9BB6_4B7D_66EE_9FDA, 0x5EC9_FDD1_0FCB_CB0E),
            (7, 0x9A7B_1499_59CE_60D8, 0xD8B4_A941_715F_EE31),
            (8, 0xDAB9_9D95_C6F9_0092, 0xF119_F5B2_6C00_20AB),
            (12, 0xD52E_4078_33AF_5133, 0x3785_1F0D_89D2_3966),
            (31, 0xA2AA_5F33_CC4A_6119, 0xAACA_4E41_FFCA_E21C),
            (32, 0x23C3_C17E_F790_FD97, 0x7421_B79A_02B4_2132),
            (33, 0x50A7_CFC7_BA58_8784, 0x17B3_DF31_3DE9_A40E),
            (63, 0x5E3E_54B4_31C7_493C, 0xB1AB_B4A5_AD0E_2943),
            (64, 0x0EB6_4B3E_F6EE_B01F, 0x2D04_5794_0C5A_93F4),
            (100, 0xA61F_8D4C_170F_E531, 0x8D89_57E6_8F02_C7CE),
            (1000, 0x5F23_5FA0_33F1_A3FB, 0xE67A_374D_77EC_CC3F),
        ] as [(Int, UInt64, UInt64)])
    func hashesAsTheReferenceDoes(count: Int, plain: UInt64, seeded: UInt64) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + 3) }
        #expect(XXHash64.hash(bytes) == plain)
        #expect(XXHash64.hash(bytes, seed: 1) == seeded)
    }

    @Test func textHasSixteenDigits() {
        #expect(XXHash64.text(0) == "0000000000000000")
        #expect(XXHash64.text(0xD24E_C4F1_A98C_6E5B) == "d24ec4f1a98c6e5b")
        #expect(XXHash64.hash("a") == 0xD24E_C4F1_A98C_6E5B)
    }
}
