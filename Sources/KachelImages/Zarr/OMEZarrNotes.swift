// SPDX-License-Identifier: Apache-2.0

extension OMEZarrScene {
  /// How the pixels lie in their folder, in words.
  var storage: String {
    let array = levels[0].array
    func text(_ shape: [Int]) -> String { shape.map(String.init).joined(separator: " x ") }
    let chunks = "chunks of \(text(array.chunkShape))"
    return [
      version.map { "version \($0)" }, chunks, array.shardShape.map { "in shards of \(text($0))" },
    ].compactMap(\.self).joined(separator: ", ")
  }

  /// What is unusual, in words.
  var notes: [String] {
    var notes: [String] = []
    if isArray {
      notes.append("an array without metadata; which dimension is which follows from their number or names")
    }
    if levels.count < namedLevels {
      notes.append(
        "\(namedLevels - levels.count) of its \(namedLevels) resolutions are missing or do not fit the first, and are left out"
      )
    }
    if lacksUnits { notes.append("the x and y axes have a scale, but no unit; the pixel size is unknown") }
    if [dimensions.x, dimensions.y, dimensions.z].contains(where: { $0.map(hasOrigin) ?? false }) {
      let axes = [dimensions.x, dimensions.y].map { axis in
        "\(translation[axis])" + (dimensions.units[axis].map { " \($0)" } ?? "")
      }
      notes.append("its first pixel lies at x \(axes[0]), y \(axes[1])")
    }
    if !levels[0].array.isFilledWithZeros { notes.append("pixels that are not stored are not 0, but the fill value") }
    return notes
  }

  private func hasOrigin(_ axis: Int) -> Bool { translation.indices.contains(axis) && translation[axis] != 0 }
}

extension OMEZarrImage {
  /// What is unusual about an image in words.
  ///
  /// - Parameter labels: the names of the label images that the image holds beside its pixels.
  static func notes(of scenes: [OMEZarrScene], labels: [String]) -> [String] {
    var notes: [String] = []
    if !labels.isEmpty {
      let list = labels.prefix(8).joined(separator: ", ") + (labels.count > 8 ? ", ..." : "")
      notes.append("it has label images, in its folder labels: \(list)")
    }
    if scenes.count == 1 { return notes + scenes[0].notes }
    let planes = Set(
      scenes.map { scene in
        scene.shape.indices.filter { $0 != scene.dimensions.x && $0 != scene.dimensions.y }.map { scene.shape[$0] }
      })
    if planes.count > 1 { notes.append("its images differ in their numbers of channels, z planes or time points") }
    // Many images have the same to say.
    var counts: [(note: String, scenes: [Int])] = []
    for (index, scene) in scenes.enumerated() {
      for note in scene.notes {
        if let place = counts.firstIndex(where: { $0.note == note }) {
          counts[place].scenes.append(index)
        } else if counts.count < 16 {
          counts.append((note, [index]))
        }
      }
    }
    return notes
      + counts.map { note, indices in
        indices.count == scenes.count
          ? note : "image \(indices[0])\(indices.count > 1 ? " and \(indices.count - 1) more" : ""): \(note)"
      }
  }
}
