// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes
internal import KachelPixels

/// The metadata of `.czann` packages: `model.json`, versions 1.0, 1.1, 2.0 and 2.1.
enum JSONMetadata {
  static let versions: Set = ["1.0", "1.1", "2.0", "2.1"]

  /// The keys of a JSON object.
  static func keys(_ bytes: [UInt8], file: String, member: String) throws(ModelError) -> [String: JSONValue] {
    let document: JSONValue
    do throws(JSONValue.Failure) {
      document = try JSONValue(bytes)
    } catch {
      throw ModelError(.damaged, file: file, member: member, "\(error.reason) (byte \(error.offset))")
    }
    guard let keys = document.object else {
      throw ModelError(.damaged, file: file, member: member, "is not a JSON object")
    }
    return keys
  }

  static func read(_ keys: [String: JSONValue], file: String, member: String, fallbackName: String) throws(ModelError)
    -> ModelMetadata
  {
    try Reader(file: file, member: member, keys: keys).metadata(fallbackName: fallbackName)
  }

  private struct Reader {
    let file: String
    let member: String
    let keys: [String: JSONValue]

    func damaged(_ reason: String) -> ModelError { ModelError(.damaged, file: file, member: member, reason) }

    func metadata(fallbackName: String) throws(ModelError) -> ModelMetadata {
      let scaling = try numbers("Scaling", count: 2...3)
      let version = try version(scalingCount: scaling?.count)
      guard let id = try string("Id"), !id.isEmpty, id.utf8.count <= 1024 else { throw damaged("Id is missing") }
      guard let type = try string("Type") else { throw damaged("Type is missing") }
      guard let kind = ModelKind(rawValue: type) else {
        throw ModelError(.unsupported, file: file, member: member, "the Type \(type.prefix(60)) is not known")
      }
      guard let input = try integers("InputShape", count: 3...4, 1...1 << 24) else {
        throw damaged("InputShape is missing")
      }
      guard let output = try integers("OutputShape", count: 3...4, 1...1 << 24) else {
        throw damaged("OutputShape is missing")
      }
      let channelCount = input.last ?? 1
      guard channelCount <= PackageLimits.channels else {
        throw damaged("InputShape has \(channelCount) channels; at most \(PackageLimits.channels) are read")
      }
      let name = try string("ModelName") ?? ""
      let (height, width) = (input[input.count - 3], input[input.count - 2])
      return ModelMetadata(
        id: id, name: name.isEmpty ? fallbackName : name, description: try string("ModelDescription"),
        schemaVersion: version, kind: kind, classes: try classes(kind, outputChannels: output.last ?? 0),
        channels: [], channelCount: channelCount, border: try border(), inputShape: input, outputShape: output,
        tileSize: Size(width: width, height: height), pixelSize: try pixelSize(scaling), scalesInputByBitDepth: true)
    }

    /// Only 2.1.0 says its version. Before, three numbers in `Scaling` came with 2.0.0, two with 1.1.0.
    private func version(scalingCount: Int?) throws(ModelError) -> String {
      guard let text = try string("FormatVersion") else {
        return scalingCount == 3 ? "2.0.0" : scalingCount == 2 ? "1.1.0" : "1.0.0"
      }
      let parts = text.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count == 3, parts.allSatisfy({ Int($0) != nil }),
        JSONMetadata.versions.contains(parts.prefix(2).joined(separator: "."))
      else {
        throw ModelError(
          .unsupported, file: file, member: member,
          "the FormatVersion \(text.prefix(40)) is not known; versions 1.0 to 2.1 are read")
      }
      return text
    }

    /// The names in `Classes`. Segmentation packages without them get one name per output channel.
    private func classes(_ kind: ModelKind, outputChannels: Int) throws(ModelError) -> [SegmentationClass] {
      var names: [String] = []
      switch keys["Classes"] {
      case nil, .null?:
        if kind.isSemanticSegmentation, outputChannels <= PackageLimits.classes {
          names = (0..<outputChannels).map { "Class \($0 + 1)" }
        }
      case .array(let values)?:
        guard values.count <= PackageLimits.classes else {
          throw damaged("Classes has \(values.count) names; at most \(PackageLimits.classes) are read")
        }
        for value in values {
          guard case .string(let name) = value else { throw damaged("Classes is not a list of strings") }
          names.append(name)
        }
      default: throw damaged("Classes is not a list of strings")
      }
      return ModelMetadata.classes(named: names)
    }

    /// Half of `MinOverlap`. The format wants even numbers, but its writers do not check that: an odd one is rounded
    /// up, as a border that is one pixel too wide only costs time.
    private func border() throws(ModelError) -> AxisPair? {
      guard let overlap = try integers("MinOverlap", count: 1...3, 0...1 << 17) else { return nil }
      let halves = overlap.map { ($0 + 1) / 2 }
      return AxisPair(y: halves[max(0, halves.count - 2)], x: halves[halves.count - 1])
    }

    /// `Scaling` is x, y and z in metres. Writers put 1, a metre, where they do not know it.
    private func pixelSize(_ scaling: [Double]?) throws(ModelError) -> ModelPixelSize? {
      guard let scaling, !scaling.allSatisfy({ $0 == 1 }) else { return nil }
      guard scaling.allSatisfy({ $0 > 0 && $0.isFinite && $0 <= 1e6 }) else {
        throw damaged("Scaling is \(scaling), not sizes in metres")
      }
      let micrometres = scaling.map { $0 * 1e6 }
      return ModelPixelSize(x: micrometres[0], y: micrometres[1], z: micrometres.count > 2 ? micrometres[2] : nil)
    }

    private func string(_ key: String) throws(ModelError) -> String? {
      switch keys[key] {
      case nil, .null?: return nil
      case .string(let text)?: return text
      default: throw damaged("\(key) is not a string")
      }
    }

    private func numbers(_ key: String, count: ClosedRange<Int>) throws(ModelError) -> [Double]? {
      switch keys[key] {
      case nil, .null?: return nil
      case .array(let values)?:
        var numbers: [Double] = []
        for value in values.prefix(count.upperBound + 1) {
          guard let number = value.double else { throw damaged("\(key) is not a list of numbers") }
          numbers.append(number)
        }
        guard count.contains(values.count) else {
          throw damaged("\(key) has \(values.count) numbers, not \(count.lowerBound) to \(count.upperBound)")
        }
        return numbers
      default: throw damaged("\(key) is not a list of numbers")
      }
    }

    private func integers(
      _ key: String, count: ClosedRange<Int>, _ range: ClosedRange<Int>
    ) throws(ModelError) -> [Int]? {
      guard let numbers = try numbers(key, count: count) else { return nil }
      var integers: [Int] = []
      for number in numbers {
        guard let value = Int(exactly: number), range.contains(value) else {
          throw damaged("\(key) has \(number), not a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        integers.append(value)
      }
      return integers
    }
  }
}
