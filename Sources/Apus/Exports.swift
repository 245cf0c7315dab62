// One import is enough: whoever imports Apus also sees the types that its interface is made of.
@_exported public import ApusCPU
@_exported public import ApusCUDA
@_exported public import ApusCompiler
@_exported public import ApusEngine
@_exported public import ApusFrontend
@_exported public import ApusGraph
@_exported public import ApusPasses
@_exported public import ApusReference
@_exported public import ApusRuntime
@_exported public import ApusSupport
@_exported public import ApusTokenizer
