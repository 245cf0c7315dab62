import Apus
import ArgumentParser

/// The value of `--backend`: what attention becomes.
enum BackendChoice: String, CaseIterable, ExpressibleByArgument {
    case plugin, reference

    /// What `--cache` may say for it; the empty text stands for the flag left out.
    var caches: [String] {
        switch self {
        case .plugin: [""]
        case .reference: ["", "none"]
        }
    }

    /// The name that benchmark rows give its cache.
    var cacheName: String {
        switch self {
        case .plugin: "in_place"
        case .reference: "none"
        }
    }

    /// Refuses a cache that the backend does not go with.
    /// - Throws: a usage error that names the pairs there are.
    func check(cache: String) throws {
        guard !caches.contains(cache) else { return }
        throw ValidationError(
            "--backend \(rawValue) does not go with --cache \(cache). Allowed are --backend plugin, which keeps "
                + "its own cache in place, without --cache; and --backend reference --cache none.")
    }
}
