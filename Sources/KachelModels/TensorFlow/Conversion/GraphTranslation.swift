// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import SwiftProtobuf

/// Walks a SavedModel from the outputs of its serving signature back to its inputs and translates what it meets, with
/// the functions that are called written out. Nodes that no output needs, such as checks, are not looked at.
struct GraphTranslation {
  let graph: SavedModelGraph
  let files: SavedModelFiles
  let variables: SavedModelVariables
  var builder: ONNXBuilder
  /// Variables that were read already, by their keys, so that shared weights stay shared.
  private var read: [String: ConstantTensor] = [:]

  /// Functions may call each other in circles, or double in size with every level.
  private static let maximumDepth = 32
  /// Nodes that are still looked at.
  private var remainingNodes = 500_000
  /// Bytes of constants in the graph that are still taken, as one constant may be written out very often.
  var remainingConstantBytes = Int(Int32.max)

  init(_ graph: SavedModelGraph, _ files: SavedModelFiles, opset: Int) throws(ModelError) {
    self.graph = graph
    self.files = files
    variables = try SavedModelVariables(graph, files)
    builder = ONNXBuilder(opset: opset)
  }

  /// The values of the signature's outputs, in the order of their names.
  mutating func outputs() throws(ModelError) -> [(name: String, value: GraphValue)] {
    var scope = Scope(graph.meta.graphDef.node)
    scope.isMain = true
    for (key, info) in graph.signature.inputs.sorted(by: { $0.key < $1.key }) {
      scope.values[nodeName(info.name)] = [.tensor(try input(key, info))]
    }
    let outputs = graph.signature.outputs.sorted { $0.key < $1.key }
    let values = try evaluate(outputs.map(\.value.name), &scope, depth: 0)
    return zip(outputs, values).map { ($0.key, $1) }
  }

  private mutating func input(_ key: String, _ info: TF_TensorInfo) throws(ModelError) -> GraphTensor {
    guard info.hasTensorShape, let shape = SavedModelGraph.shape(info.tensorShape), shape.count <= 8,
      shape.allSatisfy({ $0.map { $0 > 0 && $0 <= Int32.max } ?? true })
    else { throw unsupported("the input \(key) has no fixed number of axes") }
    guard let type = ElementType(tensorFlow: info.dtype) else {
      throw unsupported("the input \(key) is of TensorFlow's type \(info.dtype)")
    }
    let names = shape.count == 4 ? ["batch", "height", "width", "channels"] : shape.indices.map { "axis_\($0)" }
    let isOnly = graph.signature.inputs.count == 1
    return builder.addInput(key, type, shape, axes: names.map { isOnly || $0 == "batch" ? $0 : "\(key)_\($0)" })
  }

  // MARK: Graphs and functions

  /// The nodes of one graph, or of one call of a function, and the values of their outputs.
  private struct Scope {
    var nodes: [String: TF_NodeDef]
    var values: [String: [GraphValue]] = [:]
    var isMain = false

    init(_ nodes: [TF_NodeDef]) {
      self.nodes = Dictionary(nodes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }
  }

  private mutating func evaluate(
    _ references: [String], _ scope: inout Scope, depth: Int
  ) throws(ModelError) -> [GraphValue] {
    var open: Set<String> = []
    var path = references.reversed().map { nodeName($0) }
    while let name = path.last {
      if scope.values[name] != nil {
        path.removeLast()
        continue
      }
      guard let node = scope.nodes[name] else { throw damaged("the graph has no node \(name), which is asked for") }
      let inputs = node.input.filter { !$0.hasPrefix("^") }
      if open.insert(name).inserted {
        remainingNodes -= 1 + inputs.count
        guard remainingNodes > 0 else { throw unsupported("the graph with its functions written out is too large") }
        let missing = inputs.map(nodeName).filter { scope.values[$0] == nil }
        guard missing.allSatisfy({ !open.contains($0) }) else { throw unsupported("the graph has a loop at \(name)") }
        path += missing.reversed()
        if !missing.isEmpty { continue }
      }
      var arguments: [GraphValue] = []
      for input in inputs { arguments.append(try value(input, scope)) }
      scope.values[name] = try translate(node, arguments, isMain: scope.isMain, depth: depth)
      path.removeLast()
    }
    var results: [GraphValue] = []
    for reference in references { results.append(try value(reference, scope)) }
    return results
  }

  /// A reference is `node`, `node:1`, or in functions `node:output:1`; the last number counts the values of the output.
  private func value(_ reference: String, _ scope: Scope) throws(ModelError) -> GraphValue {
    let parts = reference.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    let index = parts.count > 1 ? Int(parts[parts.count - 1]) : 0
    guard let index, index >= 0, let values = scope.values[parts[0]] else {
      throw damaged("the graph has no value \(reference)")
    }
    // Operations with several outputs of different names: only the first one of each is translated.
    let node = scope.nodes[parts[0]]
    let isLater = parts.count == 3 && node?.op.hasPrefix("FusedBatchNorm") == true && parts[1] != "y"
    guard !isLater, values.indices.contains(index) else {
      throw unsupported("the operation \(node?.op ?? "") (node \(parts[0])): its output \(reference) is not translated")
    }
    return values[index]
  }

  private mutating func translate(
    _ node: TF_NodeDef, _ arguments: [GraphValue], isMain: Bool, depth: Int
  ) throws(ModelError) -> [GraphValue] {
    let operation = TensorFlowOperation(node: node)
    switch node.op {
    case "PartitionedCall", "StatefulPartitionedCall":
      guard let name = node.attr["f"].flatMap({ SavedModelGraph.functionNames($0).first }) else {
        throw damaged("the call \(node.name) names no function")
      }
      return try call(name, isMain ? bound(arguments, of: name) : arguments, depth: depth)
    case "If", "StatelessIf":
      guard let first = arguments.first, let condition = try truth(first) else {
        throw unsupported(operation, "its condition is not known before the network runs")
      }
      let branch = condition ? "then_branch" : "else_branch"
      guard let name = node.attr[branch].flatMap({ SavedModelGraph.functionNames($0).first }) else {
        throw damaged("the branch \(node.name) names no function")
      }
      return try call(name, Array(arguments.dropFirst()), depth: depth)
    case "VarHandleOp", "VariableV2", "Variable":
      let names = [operation.text("shared_name") ?? "", node.name].filter { !$0.isEmpty }
      return [.variable(.names(names))]
    default:
      return try translate(operation, arguments)
    }
  }

  private mutating func call(_ name: String, _ arguments: [GraphValue], depth: Int) throws(ModelError) -> [GraphValue] {
    guard let function = graph.functions[name] else { throw damaged("the graph has no function \(name)") }
    guard depth < Self.maximumDepth else { throw unsupported("functions call each other too deeply, as \(name)") }
    guard function.signature.inputArg.count == arguments.count else {
      throw damaged("the function \(name) is called with another number of arguments than it has")
    }
    // The nodes of a function are put into a table with every call.
    remainingNodes -= function.nodeDef.count
    guard remainingNodes > 0 else { throw unsupported("the graph with its functions written out is too large") }
    var scope = Scope(function.nodeDef)
    for (argument, value) in zip(function.signature.inputArg, arguments) { scope.values[argument.name] = [value] }
    var results: [String] = []
    for result in function.signature.outputArg {
      guard let reference = function.ret[result.name] else {
        throw damaged("the function \(name) does not say what its output \(result.name) is")
      }
      results.append(reference)
    }
    return try evaluate(results, &scope, depth: depth + 1)
  }

  /// In the main graph, variables that a function has captured go to it by handles whose names are not unique; which
  /// objects they are is said elsewhere.
  private func bound(_ arguments: [GraphValue], of function: String) -> [GraphValue] {
    let objects = variables.boundObjects(of: function)
    guard objects.count <= arguments.count else { return arguments }
    var arguments = arguments
    for (place, object) in zip(arguments.indices.suffix(objects.count), objects) {
      if case .variable = arguments[place] { arguments[place] = .variable(.object(object)) }
    }
    return arguments
  }

  // MARK: Values

  mutating func value(of reference: VariableReference, _ operation: TensorFlowOperation) throws(ModelError)
    -> GraphValue
  {
    let name = if case .names(let names) = reference { names.last ?? operation.name } else { operation.name }
    let variable = try variables.variable(reference, for: name)
    if let constant = read[variable.key] { return .constant(constant) }
    // As in `layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE`; the node says better which layer that is.
    let suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    let isGeneric = variable.key.hasSuffix(suffix)
    let readName = operation.name.hasSuffix("/ReadVariableOp") ? String(operation.name.dropLast(15)) : operation.name
    let constant = builder.constant(variable, isGeneric ? "\(readName)/weights" : variable.key)
    read[variable.key] = constant
    return .constant(constant)
  }

  /// Whether a value is true, where that is known.
  private func truth(_ value: GraphValue) throws(ModelError) -> Bool? {
    guard case .constant(let constant) = value, constant.count == 1, !constant.type.isFloatingPoint else { return nil }
    return try constant.integers().first.map { $0 != 0 }
  }

  // MARK: Errors

  func damaged(_ reason: String) -> ModelError {
    ModelError(.damaged, file: files.file, member: files.member, "\(reason): export the model again")
  }

  func unsupported(_ reason: String) -> ModelError {
    ModelError(
      .unsupported, file: files.file, member: files.member,
      "cannot be converted to ONNX: \(reason); the model can only be used as the SavedModel that it is")
  }

  func unsupported(_ operation: TensorFlowOperation, _ reason: String? = nil) -> ModelError {
    unsupported(
      "the operation \(operation.kind) (node \(operation.name)) \(reason.map { "- \($0)" } ?? "is not translated")")
  }
}
