// SPDX-License-Identifier: Apache-2.0
private import CKachelEngines

/// A network that OpenVINO has prepared for tensors of one shape.
final class OpenVINOCompiledNetwork: CompiledNetwork {
  let inputShape: [Int]
  let outputShape: [Int]
  /// The only ones that are passed to OpenVINO.
  let elements = ElementTypes()
  private let name: String
  private let compiled: EngineHandle
  private let library: OpenVINOLibrary
  /// The engine goes after all that it made.
  private let engine: OpenVINO

  init(
    compiled: consuming EngineHandle, inputShape: [Int], name: String, library: OpenVINOLibrary, engine: OpenVINO
  ) throws(EngineError) {
    let what = "OpenVINO does not describe the prepared network"
    let pointer = compiled.pointer
    let port = try library.handle(.refused, name, what, library.call.output_const_port_free) {
      library.call.compiled_model_output_by_index(pointer, 0, &$0)
    }
    let shape = try library.describe(port, name, what).shape
    let known = shape.compactMap { $0 }
    // Some operations, as loops, hide the size of what they give; a run shows it.
    let output = known.count == shape.count ? known : try Self.outputShape(of: pointer, inputShape, name, library)
    guard !output.isEmpty, NetworkPorts.byteCount(output, .float32) != nil else {
      throw EngineError(.refused, name: name, "the network's output has the size \(output)")
    }
    outputShape = output
    self.inputShape = inputShape
    self.name = name
    self.compiled = compiled
    self.library = library
    self.engine = engine
  }

  /// The shape of the output for an input of zeros.
  private static func outputShape(
    of compiled: OpaquePointer, _ inputShape: [Int], _ name: String, _ library: OpenVINOLibrary
  ) throws(EngineError) -> [Int] {
    let what = "OpenVINO cannot run this network to see the size of its output"
    let input = TensorBuffer(byteCount: NetworkPorts.byteCount(inputShape, .float32) ?? 0)
    input.bytes.initializeMemory(as: UInt8.self, repeating: 0)
    let request = try Self.request(of: compiled, name, library)
    let source = try library.tensor(input.bytes, inputShape, "input", name)
    try library.check(
      library.call.infer_request_set_input_tensor_by_index(request.pointer, 0, source.pointer), .refused, name, what)
    try library.check(library.call.infer_request_infer(request.pointer), .refused, name, what)
    let output = try library.handle(.refused, name, what, library.call.tensor_free) {
      library.call.infer_request_get_output_tensor_by_index(request.pointer, 0, &$0)
    }
    var shape = ov_shape()
    try library.check(library.call.tensor_get_shape(output.pointer, &shape), .refused, name, what)
    defer { _ = library.call.shape_free(&shape) }
    guard let lengths = shape.dims else { return [] }
    return (0..<Int(shape.rank)).map { Int(lengths[$0]) }
  }

  private static func request(
    of compiled: OpaquePointer, _ name: String, _ library: OpenVINOLibrary
  ) throws(EngineError) -> EngineHandle {
    try library.handle(
      .failed, name, "OpenVINO cannot start a run of this network", library.call.infer_request_free
    ) {
      library.call.compiled_model_create_infer_request(compiled, &$0)
    }
  }

  func makeRequest() throws(EngineError) -> sending any InferenceRequest {
    let request = try Self.request(of: compiled.pointer, name, library)
    return OpenVINORequest(request: request, network: self, name: name, library: library)
  }
}

/// One run of a network at a time.
final class OpenVINORequest: InferenceRequest {
  private let request: EngineHandle
  private let network: OpenVINOCompiledNetwork
  private let name: String
  private let library: OpenVINOLibrary

  init(
    request: consuming EngineHandle, network: OpenVINOCompiledNetwork, name: String, library: OpenVINOLibrary
  ) {
    self.request = request
    self.network = network
    self.name = name
    self.library = library
  }

  func run(input: UnsafeMutableRawBufferPointer, output: UnsafeMutableRawBufferPointer) throws(EngineError) {
    let source = try library.tensor(input, network.inputShape, "input", name)
    let target = try library.tensor(output, network.outputShape, "output", name)
    let call = library.call
    let what = "OpenVINO failed while it ran this network"
    try library.check(
      call.infer_request_set_input_tensor_by_index(request.pointer, 0, source.pointer), .failed, name, what)
    try library.check(
      call.infer_request_set_output_tensor_by_index(request.pointer, 0, target.pointer), .failed, name, what)
    try library.check(call.infer_request_infer(request.pointer), .failed, name, what)
  }
}

extension OpenVINOLibrary {
  /// A view of the caller's buffer as a tensor.
  func tensor(
    _ buffer: UnsafeMutableRawBufferPointer, _ lengths: [Int], _ role: String, _ name: String
  ) throws(EngineError) -> EngineHandle {
    let start = try buffer.start(ofTensor: lengths, .float32, role, name)
    let what = "OpenVINO does not accept the \(role) buffer"
    var shape = ov_shape()
    let numbers = lengths.map(Int64.init)
    try check(call.shape_create(Int64(numbers.count), numbers, &shape), .failed, name, what)
    defer { _ = call.shape_free(&shape) }
    return try handle(.failed, name, what, call.tensor_free) {
      call.tensor_create_from_host_ptr(float32, shape, start, &$0)
    }
  }
}
