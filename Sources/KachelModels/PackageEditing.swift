// SPDX-License-Identifier: Apache-2.0
internal import KachelPixels

extension ModelPackage {
  /// Changes of the network, with errors that name the package.
  var editing: GraphEditing { GraphEditing(graph, file: path, member: graphMember) }

  /// Puts layers before the network, in the order given. What they take is what the format feeds, or what
  /// ``networkTakes(scaledValues:)`` says.
  ///
  /// - Throws: ``ModelError``: `mismatch` where a layer does not go with the network's channels; `unsupported`.
  public func prepending(_ layers: [Preprocessing]) throws(ModelError) -> ModelPackage {
    var package = self
    package.graph = try editing.prepending(layers)
    return package
  }

  /// Puts a layer behind the network.
  ///
  /// - Throws: ``ModelError``: `mismatch` where it does not go with the network's output; `unsupported`.
  public func appending(_ layer: Postprocessing) throws(ModelError) -> ModelPackage {
    var package = self
    package.graph = try editing.appending(layer)
    return package
  }

  /// Sets the size of the tiles that the network takes, in pixels, borders included.
  ///
  /// - Throws: ``ModelError``: `mismatch` where the network's stride does not allow that size; `unsupported`.
  public func settingSpatialDimensions(height: Int, width: Int) throws(ModelError) -> ModelPackage {
    var package = self
    package.graph = try editing.settingSpatialDimensions(height: height, width: width)
    package.metadata.tileSize = Size(width: width, height: height)
    func resized(_ shape: [Int]?) -> [Int]? {
      shape.map { $0.count < 3 ? $0 : Array($0.dropLast(3)) + [height, width] + $0.suffix(1) }
    }
    package.metadata.inputShape = resized(metadata.inputShape)
    package.metadata.outputShape = resized(metadata.outputShape)
    return package
  }
}
