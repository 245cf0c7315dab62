package import ApusGraph
import ApusSupport

extension Tensor {
    /// Writes the elements to memory, as elements of a type of the same kind.
    package func write(as element: ElementType, to pointer: UnsafeMutableRawPointer) {
        let target = { (count: Int) in UnsafeMutableRawBufferPointer(start: pointer, count: count) }
        switch element {
        case .f16: floats.map { Half($0).bits }.withUnsafeBytes { target($0.count).copyMemory(from: $0) }
        case .bf16: floats.map { BFloat16($0).bits }.withUnsafeBytes { target($0.count).copyMemory(from: $0) }
        default: floats.withUnsafeBytes { target($0.count).copyMemory(from: $0) }
        }
        for (index, value) in ints.enumerated() {
            switch element {
            case .i64: pointer.storeBytes(of: Int64(value), toByteOffset: index * 8, as: Int64.self)
            case .i32: pointer.storeBytes(of: Int32(value), toByteOffset: index * 4, as: Int32.self)
            default:
                pointer.storeBytes(
                    of: UInt8(truncatingIfNeeded: value), toByteOffset: index, as: UInt8.self)
            }
        }
    }

    /// Reads a tensor from its bytes, row-major.
    package init(_ element: ElementType, _ shape: [Int], bytes: [UInt8]) {
        self = bytes.withUnsafeBytes { bytes in
            // An empty array has no address.
            withUnsafeBytes(of: 0) {
                Tensor(element, shape, bytes: bytes.baseAddress ?? $0.baseAddress!)
            }
        }
    }

    /// Reads a tensor that lies row-major in memory.
    package init(_ element: ElementType, _ shape: [Int], bytes pointer: UnsafeRawPointer) {
        let places = 0..<shape.reduce(1, *)
        func half(_ index: Int) -> UInt16 { pointer.load(fromByteOffset: index * 2, as: UInt16.self) }
        func byte(_ index: Int) -> UInt8 { pointer.load(fromByteOffset: index, as: UInt8.self) }
        switch element {
        case .f32:
            let floats = UnsafeRawBufferPointer(start: pointer, count: places.count * 4)
            self.init(element, shape, floats: Array(floats.bindMemory(to: Float.self)))
        case .f16: self.init(element, shape, floats: places.map { Half(bits: half($0)).float })
        case .bf16: self.init(element, shape, floats: places.map { BFloat16(bits: half($0)).float })
        case .i64:
            self.init(
                element, shape,
                ints: places.map { Int(pointer.load(fromByteOffset: $0 * 8, as: Int64.self)) })
        case .i32:
            self.init(
                element, shape,
                ints: places.map { Int(pointer.load(fromByteOffset: $0 * 4, as: Int32.self)) })
        case .i8: self.init(element, shape, ints: places.map { Int(Int8(bitPattern: byte($0))) })
        case .u8, .bool: self.init(element, shape, ints: places.map { Int(byte($0)) })
        }
    }
}
