// SPDX-License-Identifier: Apache-2.0
internal import KachelBytes

/// What a description of a model says, for versions 0.4 and 0.5.
struct BioImageIOReader {
  typealias Package = BioImageIOPackage

  let file: String
  let member: String
  let root: JSONValue
  let version: String
  private let isOld: Bool

  /// Most inputs, outputs, axes and operations of one tensor.
  private static let most = 64

  init(_ value: JSONValue, file: String, member: String) throws(ModelError) {
    (root, self.file, self.member) = (value, file, member)
    guard root.object != nil else { throw ModelError(.damaged, file: file, member: member, "is not a description") }
    version = root["format_version"].flatMap { $0.string ?? $0.double.map { "\($0)" } } ?? ""
    let known = version.split(separator: ".").prefix(2).joined(separator: ".")
    isOld = known == "0.4"
    let type = root["type"]?.string ?? "model"
    guard type == "model" else {
      throw ModelError(.unsupported, file: file, member: member, "describes a \(type.prefix(40)), not a model")
    }
    guard known == "0.4" || known == "0.5" else {
      throw ModelError(
        .unsupported, file: file, member: member,
        "the format_version \"\(version.prefix(40))\" is not known; versions 0.4 and 0.5 are read")
    }
  }

  private func damaged(_ reason: String) -> ModelError { ModelError(.damaged, file: file, member: member, reason) }

  private func list(_ value: JSONValue?, _ what: String) throws(ModelError) -> [JSONValue] {
    guard let value, !value.isNull else { return [] }
    guard let list = value.array, list.count <= Self.most else { throw damaged("\(what) is not a list, or too long") }
    return list
  }

  // MARK: Tensors

  func tensors(_ key: String) throws(ModelError) -> [Package.Tensor] {
    let isInput = key == "inputs"
    let tests = try list(root["test_\(key)"], "test_\(key)")
    var tensors: [Package.Tensor] = []
    for (index, value) in try list(root[key], key).enumerated() {
      guard let id = (value[isOld ? "name" : "id"] ?? value["id"])?.string ?? (isOld ? nil : String(key.dropLast()))
      else { throw damaged("one of the \(key) has no name") }
      let test = try isOld ? (tests.indices.contains(index) ? source(tests[index]) : nil) : source(value["test_tensor"])
      let axes = try isOld ? oldAxes(value, of: id) : newAxes(value, of: id)
      let operations = try list(value[isInput ? "preprocessing" : "postprocessing"], "the processing of \(id)")
      var read: [BioImageIOOperation] = []
      for operation in operations { read.append(try self.operation(operation, of: id)) }
      tensors.append(Package.Tensor(id: id, axes: axes, operations: read, testTensor: test))
    }
    guard !tensors.isEmpty else { throw damaged("names no \(key)") }
    return tensors
  }

  /// A name or address, or an object with one and a hash.
  private func source(_ value: JSONValue?) throws(ModelError) -> Package.File? {
    guard let value, !value.isNull else { return nil }
    if let text = value.string { return Package.File(source: text, sha256: nil) }
    guard let text = value["source"]?.string else { throw damaged("a file is named without a source") }
    return Package.File(source: text, sha256: value["sha256"]?.string)
  }

  private static let letters: [Character: (Package.Axis.Kind, String)] = [
    "b": (.batch, "batch"), "i": (.index, "index"), "t": (.time, "time"), "c": (.channel, "channel"),
    "z": (.space, "z"), "y": (.space, "y"), "x": (.space, "x"),
  ]

  /// Version 0.4: `bcyx`, and lists of as many sizes.
  private func oldAxes(_ value: JSONValue, of id: String) throws(ModelError) -> [Package.Axis] {
    guard let letters = value["axes"]?.string, !letters.isEmpty, Set(letters).count == letters.count else {
      throw damaged("\(id) has no axes")
    }
    let shape = value["shape"]
    func numbers(_ value: JSONValue?, _ what: String) throws(ModelError) -> [Double?] {
      guard let list = value?.array, list.count == letters.count else {
        throw damaged("\(what) of \(id) has not one number for each of the axes \(letters)")
      }
      return list.map(\.double)
    }
    var halo: [Double?] = []
    if let value = value["halo"], !value.isNull { halo = try numbers(value, "halo") }
    var axes: [Package.Axis] = []
    for (index, letter) in letters.enumerated() {
      guard let (kind, name) = Self.letters[letter] else { throw damaged("\(id) has an axis \(letter)") }
      let size: Package.Size
      if let reference = shape?["reference_tensor"]?.string {
        let scale = try numbers(shape?["scale"], "scale")[index] ?? 0
        let offset = 2 * (try numbers(shape?["offset"], "offset")[index] ?? 0)
        size =
          scale == 0
          ? .fixed(try whole(offset, "the size of \(id)"))
          : .reference(tensor: reference, axis: name, factor: scale, offset: offset)
      } else if let minimum = shape?["min"] {
        let least = try whole(numbers(minimum, "min")[index] ?? 1, "min of \(id)")
        let step = try whole(numbers(shape?["step"], "step")[index] ?? 0, "step of \(id)")
        size = step == 0 ? .fixed(least) : .steps(minimum: least, step: step)
      } else {
        size = .fixed(try whole(numbers(shape, "shape")[index] ?? 1, "shape of \(id)"))
      }
      var axis = Package.Axis(kind: kind, id: name, size: kind == .batch ? .any : size)
      axis.halo = try halo.isEmpty ? 0 : whole(halo[index] ?? 0, "halo of \(id)")
      axes.append(axis)
    }
    return axes
  }

  private func whole(_ number: Double, _ what: String) throws(ModelError) -> Int {
    guard let value = Int(exactly: number), (0...1 << 24).contains(value) else {
      throw damaged("\(what) is \(number), not a whole number of pixels")
    }
    return value
  }

  private func newAxes(_ value: JSONValue, of id: String) throws(ModelError) -> [Package.Axis] {
    var axes: [Package.Axis] = []
    for value in try list(value["axes"], "axes") {
      guard let kind = value["type"]?.string.flatMap(Package.Axis.Kind.init) else {
        throw damaged("\(id) has an axis without a known type")
      }
      // The default of a spatial axis is x.
      let name = value["id"]?.string ?? (kind == .space ? "x" : kind.rawValue)
      var axis = Package.Axis(kind: kind, id: name, size: .any)
      axis.names = value["channel_names"]?.strings ?? []
      if let halo = value["halo"]?.double { axis.halo = try whole(halo, "halo of \(id)") }
      axis.micrometers = micrometers(value)
      if kind == .channel, !axis.names.isEmpty {
        axis.size = .fixed(axis.names.count)
      } else if kind != .batch {
        axis.size = try newSize(value, of: id)
      }
      guard !axes.contains(where: { $0.id == name }) else { throw damaged("\(id) has two axes called \(name)") }
      axes.append(axis)
    }
    guard !axes.isEmpty else { throw damaged("\(id) has no axes") }
    return axes
  }

  private func newSize(_ axis: JSONValue, of id: String) throws(ModelError) -> Package.Size {
    guard let size = axis["size"], !size.isNull else { return .any }
    if let number = size.double { return .fixed(try whole(number, "a size of \(id)")) }
    if let minimum = size["min"]?.double, let step = size["step"]?.double {
      return .steps(minimum: try whole(minimum, "min of \(id)"), step: try whole(step, "step of \(id)"))
    }
    if let tensor = size["tensor_id"]?.string, let name = size["axis_id"]?.string {
      let own = axis["scale"]?.double ?? 1
      return .reference(
        tensor: tensor, axis: name, factor: try scale(of: name, in: tensor) / (own > 0 ? own : 1),
        offset: size["offset"]?.double ?? 0)
    }
    return .any
  }

  private func scale(of axis: String, in tensor: String) throws(ModelError) -> Double {
    for value in try list(root["inputs"], "inputs") + list(root["outputs"], "outputs")
    where value["id"]?.string == tensor {
      for own in try list(value["axes"], "axes") where (own["id"]?.string ?? "x") == axis {
        return own["scale"]?.double ?? 1
      }
    }
    return 1
  }

  private func micrometers(_ axis: JSONValue) -> Double? {
    let units = ["nanometer": 1e-3, "micrometer": 1, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6]
    guard let unit = axis["unit"]?.string.flatMap({ units[$0] }), let scale = axis["scale"]?.double, scale > 0 else {
      return nil
    }
    return scale * unit
  }

  /// Checks that tensors have names of their own, and that sizes refer to axes that exist.
  func check(_ inputs: [Package.Tensor], _ outputs: [Package.Tensor]) throws(ModelError) {
    let all = inputs + outputs
    for (index, tensor) in all.enumerated() {
      guard !all[..<index].contains(where: { $0.id == tensor.id }) else {
        throw damaged("two tensors are called \(tensor.id)")
      }
      for case .reference(let other, let axis, _, _) in tensor.axes.map(\.size) {
        guard let found = all.first(where: { $0.id == other }), found.axes.contains(where: { $0.id == axis }) else {
          throw damaged("a size of \(tensor.id) refers to the axis \(axis) of \(other), which does not exist")
        }
      }
    }
  }

  // MARK: Operations

  private func operation(_ value: JSONValue, of id: String) throws(ModelError) -> BioImageIOOperation {
    guard let name = (value[isOld ? "name" : "id"] ?? value["id"] ?? value["name"])?.string else {
      throw damaged("an operation of \(id) has no name")
    }
    let kwargs = value["kwargs"] ?? .null
    func numbers(_ key: String) -> [Double]? { kwargs[key]?.double.map { [$0] } ?? kwargs[key]?.doubles }
    func required(_ key: String) throws(ModelError) -> [Double] {
      guard let numbers = numbers(key), !numbers.isEmpty, numbers.count <= PackageLimits.channels else {
        throw damaged("the operation \(name) of \(id) has no \(key)")
      }
      return numbers
    }
    let epsilon = numbers("eps")?.first ?? 1e-6
    let axis = kwargs["axis"]?.string
    switch name {
    case "binarize":
      let isOne = kwargs["threshold"] != nil
      return .binarize(thresholds: try required(isOne ? "threshold" : "thresholds"), axis: axis)
    case "clip":
      func bound(_ key: String) -> BioImageIOOperation.Bound? {
        numbers(key)?.first.map { .value($0) } ?? numbers("\(key)_percentile")?.first.map { .percentile($0) }
      }
      return .clip(minimum: bound("min"), maximum: bound("max"), statistics: statistics(kwargs))
    case "ensure_dtype": return .ensureType(kwargs["dtype"]?.string ?? "float32")
    case "scale_linear":
      let (gain, offset) = (numbers("gain") ?? [1], numbers("offset") ?? [0])
      return .scaleLinear(gain: gain, offset: offset, axis: axis ?? (gain.count + offset.count > 2 ? "channel" : nil))
    case "sigmoid": return .sigmoid
    case "softmax": return .softmax(axis: axis ?? "channel")
    case "zero_mean_unit_variance":
      if isOld, kwargs["mode"]?.string == "fixed" {
        let (mean, deviation) = (try required("mean"), try required("std"))
        return .fixedZeroMeanUnitVariance(mean: mean, deviation: deviation, axis: mean.count > 1 ? "channel" : nil)
      }
      return .zeroMeanUnitVariance(statistics(kwargs), epsilon: epsilon)
    case "fixed_zero_mean_unit_variance":
      return .fixedZeroMeanUnitVariance(mean: try required("mean"), deviation: try required("std"), axis: axis)
    case "scale_range":
      return .scaleRange(
        statistics(kwargs), minimum: numbers("min_percentile")?.first ?? 0,
        maximum: numbers("max_percentile")?.first ?? 100, epsilon: epsilon,
        reference: kwargs["reference_tensor"]?.string)
    case "scale_mean_variance":
      return .scaleMeanVariance(
        statistics(kwargs), epsilon: epsilon, reference: kwargs["reference_tensor"]?.string ?? "")
    default: return .unknown(name: String(name.prefix(60)))
    }
  }

  /// Statistics over axes of one sample, or over all samples where none are named or the batch is among them.
  private func statistics(_ kwargs: JSONValue) -> BioImageIOOperation.Statistics {
    if isOld {
      guard kwargs["mode"]?.string ?? "per_sample" == "per_sample", let letters = kwargs["axes"]?.string else {
        return .dataset
      }
      return .sample(axes: letters.compactMap { Self.letters[$0]?.1 })
    }
    guard let axes = kwargs["axes"]?.strings, !axes.contains("batch") else { return .dataset }
    return .sample(axes: axes)
  }

  // MARK: Weights

  func weights() throws(ModelError) -> [Package.Weights] {
    guard let formats = root["weights"]?.object else { throw damaged("names no weights") }
    var weights: [Package.Weights] = []
    for (format, value) in formats.sorted(by: { $0.key < $1.key }) where !value.isNull {
      guard let file = try source(value) else { throw damaged("the weights \(format) have no source") }
      weights.append(Package.Weights(format: format, file: file, opset: value["opset_version"]?.int))
    }
    return weights
  }

  func tolerances() -> [(outputs: [String], formats: [String], tolerance: Package.Tolerance)] {
    let config = root["config"]?["bioimageio"]
    var tolerances: [(outputs: [String], formats: [String], tolerance: Package.Tolerance)] = []
    // Before there was a standard way to say it, the number of decimals that agree.
    for (format, value) in config?["test_kwargs"]?.object ?? [:] {
      guard let decimal = value["decimal"]?.double else { continue }
      var tolerance = Package.Tolerance()
      (tolerance.absolute, tolerance.relative) = (1.5 * power(decimal), 0)
      tolerances.append((outputs: [], formats: [format], tolerance: tolerance))
    }
    for value in config?["reproducibility_tolerance"]?.array ?? [] {
      var tolerance = Package.Tolerance()
      tolerance.absolute = value["absolute_tolerance"]?.double ?? tolerance.absolute
      tolerance.relative = value["relative_tolerance"]?.double ?? tolerance.relative
      tolerance.mismatchesPerMillion =
        value["mismatched_elements_per_million"]?.double ?? tolerance.mismatchesPerMillion
      tolerances.append(
        (
          outputs: value["output_ids"]?.strings ?? [], formats: value["weights_formats"]?.strings ?? [],
          tolerance: tolerance
        ))
    }
    return tolerances
  }

  /// 10 to the power of minus `decimal`.
  private func power(_ decimal: Double) -> Double {
    var value = 1.0
    for _ in 0..<Int(max(0, min(30, decimal))) { value /= 10 }
    return value
  }
}
