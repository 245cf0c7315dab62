import ApusGraph
import ApusSupport

/// Numbers as a weight source stores them.
enum StoredNumbers {
    /// The elements of little-endian bytes; a part of an element at the end is left out.
    static func decode(_ bytes: UnsafeRawBufferPointer, _ element: ElementType) -> [Double] {
        func numbers<T: BitwiseCopyable>(_ type: T.Type, _ convert: (T) -> Double) -> [Double] {
            (0..<bytes.count / MemoryLayout<T>.size).map {
                convert(bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self))
            }
        }
        return switch element {
        case .f32: numbers(UInt32.self) { Double(Float(bitPattern: UInt32(littleEndian: $0))) }
        case .f16: numbers(UInt16.self) { Double(Half(bits: UInt16(littleEndian: $0)).float) }
        case .bf16: numbers(UInt16.self) { Double(BFloat16(bits: UInt16(littleEndian: $0)).float) }
        case .i64: numbers(Int64.self) { Double(Int64(littleEndian: $0)) }
        case .i32: numbers(Int32.self) { Double(Int32(littleEndian: $0)) }
        case .i8: numbers(Int8.self) { Double($0) }
        case .u8: numbers(UInt8.self) { Double($0) }
        case .bool: numbers(UInt8.self) { $0 == 0 ? 0 : 1 }
        }
    }
}
