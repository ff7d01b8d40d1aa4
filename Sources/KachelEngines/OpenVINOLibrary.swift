// SPDX-License-Identifier: Apache-2.0
internal import CKachelEngines

/// The functions of a loaded `libopenvino_c`, and the ways to call them.
///
/// `@unchecked Sendable`: a constant table of C functions that lives as long as the process. OpenVINO allows calls from
/// many threads, except on one request.
struct OpenVINOLibrary: @unchecked Sendable {
  let table: UnsafePointer<kachel_openvino>
  let version: String
  /// The engine's number for the type of 32-bit floating point numbers.
  let float32: Int32

  var call: kachel_openvino { table.pointee }

  init(path: String) throws(EngineError) {
    let table = try EngineLibrary.functions(of: "OpenVINO", at: path) { kachel_openvino_open(path, $0, $1) }
    self.table = table
    var stated = ov_version()
    let status = table.pointee.get_openvino_version(&stated)
    version = status == 0 ? stated.build_number.map { String(cString: $0) } ?? "" : ""
    if status == 0 { table.pointee.version_free(&stated) }
    guard let float32 = Self.float32(table.pointee) else {
      throw EngineError(
        .missing, name: path, "this OpenVINO (\(version)) numbers its types in a way that Kachel does not know")
    }
    self.float32 = float32
  }

  /// The number was 5 up to OpenVINO 2025.0 and is 4 since; the other of the two means a type of another size. So it is
  /// asked how large one number is, rather than what version it is.
  private static func float32(_ call: kachel_openvino) -> Int32? {
    var number: Float = 0
    var shape = ov_shape()
    guard call.shape_create(1, [1], &shape) == 0 else { return nil }
    defer { _ = call.shape_free(&shape) }
    return ([4, 5] as [Int32]).first { type in
      var tensor: OpaquePointer?
      var size = 0
      guard call.tensor_create_from_host_ptr(type, shape, &number, &tensor) == 0, let tensor else { return false }
      defer { call.tensor_free(tensor) }
      return call.tensor_get_byte_size(tensor, &size) == 0 && size == MemoryLayout<Float>.size
    }
  }

  /// Turns a status other than 0 into an error.
  func check(_ status: Int32, _ kind: EngineError.Kind, _ name: String, _ what: String) throws(EngineError) {
    if status != 0 { throw EngineError(kind, name: name, "\(what): \(reason(status))") }
  }

  /// What a function made that gives its result by a pointer and a status.
  func handle(
    _ kind: EngineError.Kind, _ name: String, _ what: String,
    _ release: @escaping @convention(c) (OpaquePointer) -> Void, _ make: (inout OpaquePointer?) -> Int32
  ) throws(EngineError) -> EngineHandle {
    var pointer: OpaquePointer?
    try check(make(&pointer), kind, name, what)
    guard let pointer else { throw EngineError(kind, name: name, "\(what): the engine gave nothing") }
    return EngineHandle(pointer: pointer, release: release)
  }

  /// Why the last call failed, in one line.
  private func reason(_ status: Int32) -> String {
    // From -14 to -16 the call did not get to the engine, and its last message is about something earlier.
    guard !(-16 ... -14).contains(status), let text = call.get_last_err_msg() else {
      return "the engine does not say why (status \(status))"
    }
    defer { call.free(text) }
    return Self.readable(String(cString: text))
  }

  /// An engine's message without the places in its source code that it passed through.
  static func readable(_ message: String) -> String {
    let lines = message.split(whereSeparator: \.isNewline).map { $0.trimmed }
    let telling = lines.filter { line in
      !(line.isEmpty || line.hasPrefix("Exception from ") || line.hasPrefix("FrontEnd API failed with ")
        || (line.hasPrefix("Check '") && line.contains(" failed at ")))
    }
    return (telling.isEmpty ? lines : telling).joined(separator: " ")
  }

  /// The inputs or the outputs of a graph.
  func ports(
    _ name: String, count: (inout Int) -> Int32, port: (Int, inout OpaquePointer?) -> Int32
  ) throws(EngineError) -> [Port] {
    let what = "OpenVINO does not describe this network"
    var number = 0
    try check(count(&number), .refused, name, what)
    var ports: [Port] = []
    for index in 0..<number {
      let handle = try handle(.refused, name, what, call.output_const_port_free) { port(index, &$0) }
      ports.append(try describe(handle, name, what))
    }
    return ports
  }

  func describe(_ port: borrowing EngineHandle, _ name: String, _ what: String) throws(EngineError) -> Port {
    var text: UnsafeMutablePointer<CChar>?
    // A port without a name is no error: then the call fails.
    let isNamed = call.port_get_any_name(port.pointer, &text) == 0
    defer { call.free(text) }
    var type: Int32 = -1
    try check(call.port_get_element_type(port.pointer, &type), .refused, name, what)
    var shape = ov_partial_shape()
    try check(call.port_get_partial_shape(port.pointer, &shape), .refused, name, what)
    defer { call.partial_shape_free(&shape) }
    var lengths: [Int?] = []
    if let dims = shape.dims, shape.rank.min == shape.rank.max {
      lengths = UnsafeBufferPointer(start: dims, count: Int(shape.rank.max))
        .map { $0.min == $0.max ? Int($0.min) : nil }
    }
    return Port(
      name: isNamed ? text.map { String(cString: $0) } ?? "" : "", shape: lengths,
      element: type == float32 ? .float32 : nil)
  }
}

extension Substring {
  fileprivate var trimmed: Substring {
    var text = self
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return text
  }
}
