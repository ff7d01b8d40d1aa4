// SPDX-License-Identifier: Apache-2.0

/// Finds the values of variables by the objects that they are in the saved program, or by their names in its graph.
struct SavedModelVariables {
  private let files: SavedModelFiles
  private let objects: TF_SavedObjectGraph
  private let bundle: VariableBundle?
  private let tracked: TF_TrackableObjectGraph?
  /// The objects of the variables by their names, which several may share.
  private let objectsByName: [String: [Int]]

  init(_ graph: SavedModelGraph, _ files: SavedModelFiles) throws(ModelError) {
    self.files = files
    objects = graph.meta.objectGraphDef
    bundle = files.files[SavedModelFiles.indexName] == nil ? nil : try VariableBundle(files)
    tracked = try bundle?.objectGraph()
    let named = objects.nodes.enumerated().filter { $0.element.hasVariable && !$0.element.variable.name.isEmpty }
    objectsByName = Dictionary(grouping: named.map(\.offset)) { [objects] in objects.nodes[$0].variable.name }
  }

  /// The objects that the last arguments of a function are.
  func boundObjects(of function: String) -> [Int] {
    objects.concreteFunctions[function]?.boundInputs.map { Int($0) } ?? []
  }

  /// - Throws: `damaged` where the variable's value is not there, or it is not clear which one it is.
  func variable(_ reference: VariableReference, for name: String) throws(ModelError) -> VariableBundle.Variable {
    guard let bundle else {
      throw damaged("the SavedModel has no file \(SavedModelFiles.indexName), which the variable \(name) needs")
    }
    switch reference {
    case .object(let number):
      if let key = key(ofObject: number), let found = try bundle[key] { return found }
    case .names(let names):
      for name in names {
        // Programs before TensorFlow 2 store variables by their names.
        if let found = try bundle[name] { return found }
        let objects = objectsByName[name] ?? []
        if objects.count == 1, let key = key(ofObject: objects[0]), let found = try bundle[key] { return found }
      }
    }
    throw damaged("the value of the variable \(name) is not among the SavedModel's variables: export the model again")
  }

  private func key(ofObject number: Int) -> String? {
    guard let tracked, tracked.nodes.indices.contains(number) else { return nil }
    return tracked.nodes[number].attributes.first { $0.name == "VARIABLE_VALUE" }?.checkpointKey
  }

  private func damaged(_ reason: String) -> ModelError {
    ModelError(.damaged, file: files.file, member: files.member, reason)
  }
}
