// SPDX-License-Identifier: Apache-2.0
internal import CKachelEngines
private import Foundation

/// The functions of a loaded `libonnxruntime`, and the ways to call them.
///
/// `@unchecked Sendable`: a constant table of C functions that lives as long as the process. ONNX Runtime allows calls
/// from many threads.
struct ONNXRuntimeLibrary: @unchecked Sendable {
  let table: UnsafePointer<kachel_onnxruntime>
  let path: String

  var call: kachel_onnxruntime { table.pointee }
  var version: String { String(cString: table.pointee.version) }

  /// The engine's numbers for the types that tensors can have: those of ONNX.
  static let elements: [Int32: ElementType] = [1: .float32, 2: .uint8, 4: .uint16]

  init(path: String) throws(EngineError) {
    let table = try EngineLibrary.functions(of: "ONNX Runtime", at: path) { kachel_onnxruntime_open(path, $0, $1) }
    self.table = table
    self.path = path
  }

  /// Turns what a function returned into an error, unless it is nothing.
  func check(_ status: OpaquePointer?, _ kind: EngineError.Kind, _ name: String, _ what: String) throws(EngineError) {
    guard let status else { return }
    defer { call.release_status(status) }
    let message = call.get_error_message(status).map { String(cString: $0) } ?? "the engine does not say why"
    throw EngineError(kind, name: name, "\(what): \(Self.readable(message))")
  }

  /// What a function made that gives its result by a pointer.
  func handle(
    _ kind: EngineError.Kind, _ name: String, _ what: String,
    _ release: @escaping @convention(c) (OpaquePointer) -> Void, _ make: (inout OpaquePointer?) -> OpaquePointer?
  ) throws(EngineError) -> EngineHandle {
    var pointer: OpaquePointer?
    try check(make(&pointer), kind, name, what)
    guard let pointer else { throw EngineError(kind, name: name, "\(what): the engine gave nothing") }
    return EngineHandle(pointer: pointer, release: release)
  }

  /// An engine's message in one line, without its number and the places in its source code.
  static func readable(_ message: String) -> String {
    message.split(whereSeparator: \.isNewline).map { line in
      // As in "/build/path/file.cc:12 returnType Function(arguments) what is wrong".
      line.replacing(#/\/\S+\.(?:cc|h):\d+ (?:[\w:<>&* ]+ )?[\w:]+\([^)]*\)\s*/#, with: "")
        .replacing(#/^\[ONNXRuntimeError\] : \d+ : \w+ : /#, with: "").trimmingCharacters(in: .whitespaces)
    }.filter { !$0.isEmpty }.joined(separator: " ")
  }

  /// An input or output of a network, and what the network calls its axes.
  struct NamedPort {
    let port: Port
    let axes: [String]
  }

  func inputs(of session: borrowing EngineHandle, _ name: String) throws(EngineError) -> [NamedPort] {
    let session = session.pointer
    return try ports(
      name, count: { call.get_input_count(session, &$0) }, named: { call.get_input_name(session, $0, $1, &$2) },
      type: { call.get_input_type(session, $0, &$1) })
  }

  func outputs(of session: borrowing EngineHandle, _ name: String) throws(EngineError) -> [NamedPort] {
    let session = session.pointer
    return try ports(
      name, count: { call.get_output_count(session, &$0) }, named: { call.get_output_name(session, $0, $1, &$2) },
      type: { call.get_output_type(session, $0, &$1) })
  }

  private func ports(
    _ name: String, count: (inout Int) -> OpaquePointer?,
    named: (Int, OpaquePointer, inout UnsafeMutablePointer<CChar>?) -> OpaquePointer?,
    type: (Int, inout OpaquePointer?) -> OpaquePointer?
  ) throws(EngineError) -> [NamedPort] {
    let what = "ONNX Runtime does not describe this network"
    var (number, allocator) = (0, OpaquePointer?.none)
    try check(count(&number), .refused, name, what)
    try check(call.get_default_allocator(&allocator), .refused, name, what)
    guard let allocator else { return [] }
    var ports: [NamedPort] = []
    for index in 0..<number {
      var text: UnsafeMutablePointer<CChar>?
      try check(named(index, allocator, &text), .refused, name, what)
      let portName = text.map { String(cString: $0) } ?? ""
      try check(call.deallocate(allocator, text), .refused, name, what)
      let info = try handle(.refused, name, what, call.release_type_info) { type(index, &$0) }
      var tensor: OpaquePointer?
      try check(call.cast_to_tensor_info(info.pointer, &tensor), .refused, name, what)
      guard let tensor else {
        // A sequence or a map.
        ports.append(NamedPort(port: Port(name: portName, shape: [], element: nil), axes: []))
        continue
      }
      var element: Int32 = 0
      try check(call.get_element_type(tensor, &element), .refused, name, what)
      let lengths = try lengths(of: tensor, .refused, name, what)
      var axes = [UnsafePointer<CChar>?](repeating: nil, count: lengths.count)
      try check(call.get_length_names(tensor, &axes, axes.count), .refused, name, what)
      ports.append(
        NamedPort(
          port: Port(name: portName, shape: lengths, element: Self.elements[element]),
          axes: axes.map { $0.map { String(cString: $0) } ?? "" }))
    }
    return ports
  }

  /// The length of each axis, nil where it is open.
  func lengths(
    of tensor: OpaquePointer, _ kind: EngineError.Kind, _ name: String, _ what: String
  ) throws(EngineError) -> [Int?] {
    var rank = 0
    try check(call.get_rank(tensor, &rank), kind, name, what)
    var lengths = [Int64](repeating: 0, count: rank)
    try check(call.get_lengths(tensor, &lengths, rank), kind, name, what)
    return lengths.map { $0 < 0 ? nil : Int($0) }
  }
}

/// Calls C with an array of texts.
func withCStrings<Result>(_ texts: [String], _ body: ([UnsafePointer<CChar>]) -> Result) -> Result {
  let copies = texts.map { (text: String) in text.utf8CString }
  func next(_ index: Int, _ pointers: [UnsafePointer<CChar>]) -> Result {
    guard index < copies.count else { return body(pointers) }
    return copies[index].withUnsafeBufferPointer { buffer in
      next(index + 1, buffer.baseAddress.map { pointers + [$0] } ?? pointers)
    }
  }
  return next(0, [])
}
