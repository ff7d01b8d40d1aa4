// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import SwiftProtobuf

/// Writes a finished graph as an ONNX file. Weights are read, turned and written one at a time, so that no more than one
/// of them is in memory besides the file.
struct ONNXWriter {
  let builder: ONNXBuilder
  let outputs: [ONNX_ValueInfoProto]
  let name: String

  /// The version of the file format that came with a version of the operators.
  private var formatVersion: Int64 { builder.opset < 13 ? 7 : 8 }

  /// `nil` where the file would be larger than the format allows.
  func bytes() throws(ModelError) -> [UInt8]? {
    var initializers: [(header: [UInt8], initializer: ONNXBuilder.Initializer, size: Int)] = []
    var total = 0
    for name in namesInOrder() {
      guard let initializer = builder.initializers[name] else { continue }
      let header = serialized(
        ONNX_TensorProto.with {
          $0.name = name
          $0.dims = initializer.shape.map { Int64($0) }
          $0.dataType = initializer.constant.type.rawValue
        })
      let content = initializer.constant.count * initializer.constant.type.size
      let size = header.count + Self.field(9, content).count + content
      initializers.append((header, initializer, size))
      total += Self.field(5, size).count + size
    }
    let graph = serialized(
      ONNX_GraphProto.with {
        $0.name = name
        $0.node = builder.nodes.map { node in
          .with {
            $0.opType = node.operation
            $0.input = node.inputs
            $0.output = node.outputs
            $0.name = node.name
            $0.attribute = node.attributes
          }
        }
        $0.input = builder.inputs
        $0.output = outputs
      })
    let model = serialized(
      ONNX_ModelProto.with {
        $0.irVersion = formatVersion
        $0.producerName = "Kachel"
        $0.opsetImport = [.with { $0.version = Int64(builder.opset) }]
      })
    total += graph.count
    guard total + model.count + 16 <= PackageLimits.graph else { return nil }

    // The parts of a message may be written one behind the other in any order.
    var file = model + Self.field(7, total)
    file.reserveCapacity(file.count + total)
    file += graph
    for (header, initializer, size) in initializers {
      file += Self.field(5, size) + header
      file += Self.field(9, initializer.constant.count * initializer.constant.type.size)
      try initializer.append(to: &file)
    }
    return file
  }

  /// The constants in the order in which they are used.
  private func namesInOrder() -> [String] {
    var seen: Set<String> = []
    return builder.nodes.flatMap(\.inputs).filter { builder.initializers[$0] != nil && seen.insert($0).inserted }
  }

  private func serialized(_ message: some Message) -> [UInt8] {
    // Fails only for messages that lack required fields, of which there are none.
    (try? message.serializedBytes(partial: true)) ?? []
  }

  /// The start of a field with a length: its number and how it is written, and the length.
  private static func field(_ number: Int, _ length: Int) -> [UInt8] { varint(number << 3 | 2) + varint(length) }

  private static func varint(_ number: Int) -> [UInt8] {
    var (rest, bytes) = (UInt64(number), [UInt8]())
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }
}

extension ONNXBuilder.Initializer {
  /// Writes the numbers in their order behind what is in the file, with no more than one copy of them besides it.
  fileprivate func append(to file: inout [UInt8]) throws(ModelError) {
    let bytes = try constant.bytes()
    let start = file.count
    file.append(contentsOf: repeatElement(0, count: bytes.count))
    file.withUnsafeMutableBytes { file in
      let target = UnsafeMutableRawBufferPointer(rebasing: file[start...])
      Self.permute(bytes, constant.shape, permutation, size: constant.type.size, into: target)
      if let scale { multiply(target, scale) }
    }
  }

  private func multiply(_ raw: UnsafeMutableRawBufferPointer, _ scale: (axis: Int, factors: [Double])) {
    let inner = shape[(scale.axis + 1)...].reduce(1, *)
    let factors = scale.factors
    var index = 0
    while index < raw.count / 4 {
      let factor = factors[index / inner % factors.count]
      for _ in 0..<inner {
        let number = raw.loadUnaligned(fromByteOffset: index * 4, as: Float.self)
        raw.storeBytes(of: Float(Double(number) * factor), toByteOffset: index * 4, as: Float.self)
        index += 1
      }
    }
  }

  private static func permute(
    _ bytes: [UInt8], _ shape: [Int], _ permutation: [Int], size: Int, into target: UnsafeMutableRawBufferPointer
  ) {
    // Axes of one element can be anywhere.
    let moving = permutation.filter { shape[$0] != 1 }
    guard moving != moving.sorted(), !bytes.isEmpty else { return target.copyBytes(from: bytes) }
    var steps = Array(repeating: size, count: shape.count)
    for axis in shape.indices.dropLast().reversed() { steps[axis] = steps[axis + 1] * shape[axis + 1] }
    let sizes = moving.map { shape[$0] }, strides = moving.map { steps[$0] }
    bytes.withUnsafeBytes { source in
      var places = Array(repeating: 0, count: sizes.count)
      var from = 0, to = 0
      let last = sizes.count - 1
      while to < source.count {
        for _ in 0..<sizes[last] {
          if size == 4 {
            target.storeBytes(
              of: source.loadUnaligned(fromByteOffset: from, as: UInt32.self), toByteOffset: to, as: UInt32.self)
          } else {
            for byte in 0..<size { target[to + byte] = source[from + byte] }
          }
          to += size
          from += strides[last]
        }
        from -= strides[last] * sizes[last]
        // On to the next row, as an odometer does.
        var axis = last - 1
        while axis >= 0 {
          places[axis] += 1
          from += strides[axis]
          if places[axis] < sizes[axis] { break }
          from -= strides[axis] * sizes[axis]
          places[axis] = 0
          axis -= 1
        }
      }
    }
  }
}
