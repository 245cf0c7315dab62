/// How the weights of a checkpoint are spread over files.
package enum Shards {
    /// Cuts a list into runs whose sizes do not exceed the limit, but for single items that do.
    package static func cut<Item>(_ items: [Item], limit: Int, _ bytes: (Item) -> Int) -> [[Item]] {
        var shards: [[Item]] = [[]]
        var filled = 0
        for item in items {
            if filled > 0, filled + bytes(item) > limit {
                shards.append([])
                filled = 0
            }
            shards[shards.count - 1].append(item)
            filled += bytes(item)
        }
        return shards
    }

    /// The file of shard `number`, from 0: `model.safetensors` if it is the only one.
    package static func name(_ number: Int, of count: Int) -> String {
        func five(_ value: Int) -> String { String(String(100_000 + value).suffix(5)) }
        return count == 1
            ? "model.safetensors" : "model-\(five(number + 1))-of-\(five(count)).safetensors"
    }
}
