// SPDX-License-Identifier: Apache-2.0

extension FlowAnalysis {
  /// Exporters reshape instead of transposing where an axis has the size 1. Axes of size 1 come and go; all others must
  /// stay in their order, each with its own size.
  func reshape(_ axes: [Axis], to target: [Extent?]?) throws(Failure) -> Value {
    guard let target, target.count <= Self.mostAxes else { throw .notPlain }
    guard axes.contains(where: \.isSpatial) else {
      return .image(target.map { Axis(size: $0?.integer.flatMap { $0 > 0 ? $0 : nil }) })
    }
    let places = target.indices.filter { target[$0]?.number != 1 }
    let sources = axes.indices.filter { axes[$0].isSpatial || axes[$0].size != 1 }
    // A batch of unknown size is 1 where it vanishes.
    for sources in [sources[...], sources.dropFirst()] {
      guard sources.count == places.count,
        sources.startIndex == 0 || (axes[0].size == nil && !axes[0].isSpatial && sources.first != 0),
        zip(sources, places).allSatisfy({ fits(axes, $0, target, $1) })
      else { continue }
      var result = target.map { _ in Axis(size: 1) }
      for (source, place) in zip(sources, places) { result[place] = axes[source] }
      return .image(result)
    }
    throw .notPlain
  }

  private func fits(_ axes: [Axis], _ source: Int, _ target: [Extent?], _ place: Int) -> Bool {
    // -1 stands for what is left, a size that is not known may be any.
    guard let wanted = target[place], wanted.number != -1 else { return true }
    // 0 stands for the size at the same place.
    if wanted.number == 0 { return source == place }
    guard let size = axes[source].extent else { return wanted.number != nil }
    return size == wanted
  }
}
