/// The version of Apus, as files and reports name it.
public enum ApusVersion {
    /// Major, minor and patch.
    public static let current = "0.1.0"
}
