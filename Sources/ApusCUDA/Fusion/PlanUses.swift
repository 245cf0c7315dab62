import ApusEngine
import ApusGraph

/// Who makes and who reads each tensor of a plan, views included.
struct PlanUses {
    /// Position of the step that makes a tensor of its own memory; nil for inputs and weights.
    private(set) var makers: [Int?]
    /// Positions of the steps that read a tensor's memory, each as often as it reads it.
    private(set) var readers: [[Int]]
    /// Positions of the steps that write a tensor's memory: one, but for what is changed in place.
    private(set) var writers: [[Int]]
    /// Whether the memory is an output of the plan.
    private(set) var isOutput: [Bool]

    init(_ plan: Plan) {
        makers = Array(repeating: nil, count: plan.tensors.count)
        readers = Array(repeating: [], count: plan.tensors.count)
        writers = Array(repeating: [], count: plan.tensors.count)
        isOutput = Array(repeating: false, count: plan.tensors.count)
        for (position, step) in plan.steps.enumerated() {
            for result in step.results {
                let root = plan.root(of: result)
                if root == result { makers[result] = position }
                writers[root].append(position)
            }
            for case let operand? in step.operands { readers[plan.root(of: operand)].append(position) }
        }
        for output in plan.outputs { isOutput[plan.root(of: output.tensor)] = true }
    }
}

/// A plan that is being rewritten: steps change in place, tensors are only added, so that indices stay what they are.
struct PlanDraft {
    let original: Plan
    var tensors: [Plan.Tensor]
    /// The steps by position; nil for one that another has taken over.
    var steps: [Plan.Step?]
    /// Steps that are to run just before the one at a position.
    var insertions: [Int: Plan.Step] = [:]
    /// What was done with each attention, or why it was not, for people.
    var notes: [String] = []

    init(_ plan: Plan) {
        original = plan
        tensors = plan.tensors
        steps = plan.steps
    }

    var plan: Plan {
        Plan(
            symbols: original.symbols, tensors: tensors, steps: steps.compactMap { $0 },
            outputs: original.outputs)
    }

    /// The plan with the steps where they are: one that was taken over does nothing.
    var positioned: Plan {
        let nothing = Plan.Step(op: "", kernel: "", operands: [], results: [], attributes: [:])
        return Plan(
            symbols: original.symbols, tensors: tensors, steps: steps.map { $0 ?? nothing },
            outputs: original.outputs)
    }

    /// Puts the insertions between the steps; positions change.
    mutating func applyInsertions() {
        var list: [Plan.Step?] = []
        for (position, step) in steps.enumerated() {
            if let insertion = insertions[position] { list.append(insertion) }
            list.append(step)
        }
        steps = list
        insertions = [:]
    }

    /// The tensor that owns the memory of another.
    func root(_ tensor: Int) -> Int {
        var root = tensor
        while case .alias(let next) = tensors[root].storage { root = next }
        return root
    }

    /// The tensor that owns the memory of another, if it is the whole of it, row-major; nil for any other view.
    ///
    /// A kernel may write its result in another order of dimensions, which the view then has undone.
    func wholeRoot(_ tensor: Int) -> Int? {
        let root = root(tensor)
        guard root != tensor else { return root }
        let isWhole =
            tensors[tensor].layout.isDense(tensors[tensor].type.shape) && tensors[tensor].layout.offset == 0
            && tensors[tensor].type.elementCount == tensors[root].type.elementCount
        return isWhole ? root : nil
    }

    /// Adds a tensor.
    mutating func add(_ tensor: Plan.Tensor) -> Int {
        tensors.append(tensor)
        return tensors.count - 1
    }

    /// Replaces a tensor by a view of the whole of another.
    mutating func alias(_ tensor: Int, to other: Int) {
        let old = tensors[tensor]
        tensors[tensor] = Plan.Tensor(name: old.name, type: old.type, storage: .alias(other))
    }

    /// Replaces the element type of an activation.
    mutating func retype(_ tensor: Int, as element: ElementType) {
        let old = tensors[tensor]
        tensors[tensor] = Plan.Tensor(
            name: old.name, type: TensorType(element, old.type.shape), storage: old.storage,
            layout: old.layout)
    }
}
