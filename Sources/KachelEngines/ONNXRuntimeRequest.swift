// SPDX-License-Identifier: Apache-2.0
private import CKachelEngines

/// A network that ONNX Runtime has prepared for tensors of one shape.
final class ONNXRuntimeCompiledNetwork: CompiledNetwork {
  let inputShape: [Int]
  let outputShape: [Int]
  let elements: ElementTypes
  fileprivate let name: String
  fileprivate let library: ONNXRuntimeLibrary
  private let names: (input: String, output: String)
  private let session: EngineHandle
  /// That tensors lie in the memory of this process. The engine sees for itself which of it is pinned.
  private let memory: EngineHandle
  /// The engine goes after all that it made.
  private let engine: ONNXRuntime

  init(
    session: consuming EngineHandle, names: (input: String, output: String), inputShape: [Int], elements: ElementTypes,
    ports: NetworkPorts, library: ONNXRuntimeLibrary, engine: ONNXRuntime
  ) throws(EngineError) {
    let name = ports.name
    let memory = try library.memory("Cpu", name)
    let stated = try library.outputs(of: session, name).first?.port.shape ?? []
    let known = stated.compactMap { $0 }
    // Where not all axes have names, or where the output's size is computed; a run shows it.
    let output =
      !stated.isEmpty && known.count == stated.count
      ? known : try library.outputShape(of: session.pointer, names, inputShape, elements.input, memory.pointer, name)
    guard !output.isEmpty, output.allSatisfy({ $0 > 0 }), NetworkPorts.byteCount(output, elements.output) != nil else {
      throw EngineError(.refused, name: name, "the network's output has the size \(output)")
    }
    outputShape = output
    self.inputShape = inputShape
    self.elements = elements
    self.name = name
    self.names = names
    self.session = session
    self.memory = memory
    self.library = library
    self.engine = engine
  }

  func makeRequest() throws(EngineError) -> sending any InferenceRequest { ONNXRuntimeRequest(network: self) }

  func makeBuffer(byteCount: Int) throws(EngineError) -> TensorBuffer {
    guard case .cuda(let index) = engine.device else { return TensorBuffer(byteCount: byteCount) }
    return try library.pinnedBuffer(byteCount, session.pointer, device: index, name)
  }

  fileprivate func run(_ input: UnsafeMutableRawPointer, _ output: UnsafeMutableRawPointer) throws(EngineError) {
    let source = try library.tensor(input, inputShape, elements.input, memory.pointer, "input", name)
    let target = try library.tensor(output, outputShape, elements.output, memory.pointer, "output", name)
    var result: OpaquePointer? = target.pointer
    try library.run(session.pointer, names, source.pointer, &result, .failed, name)
  }
}

/// One run of a network at a time.
final class ONNXRuntimeRequest: InferenceRequest {
  private let network: ONNXRuntimeCompiledNetwork

  init(network: ONNXRuntimeCompiledNetwork) { self.network = network }

  func run(input: UnsafeMutableRawBufferPointer, output: UnsafeMutableRawBufferPointer) throws(EngineError) {
    try network.run(
      input.start(ofTensor: network.inputShape, network.elements.input, "input", network.name),
      output.start(ofTensor: network.outputShape, network.elements.output, "output", network.name))
  }
}

extension ONNXRuntimeLibrary {
  /// Runs a session. The output is a tensor of the caller's, or nil, and then the engine makes one.
  fileprivate func run(
    _ session: OpaquePointer, _ names: (input: String, output: String), _ input: OpaquePointer,
    _ output: inout OpaquePointer?, _ kind: EngineError.Kind, _ name: String
  ) throws(EngineError) {
    let status = withCStrings([names.input, names.output]) { pointers in
      withUnsafePointer(to: pointers[0]) { inputName in
        withUnsafePointer(to: pointers[1]) { outputName in
          withUnsafePointer(to: input) { call.run(session, nil, inputName, $0, 1, outputName, 1, &output) }
        }
      }
    }
    try check(status, kind, name, "ONNX Runtime failed while it ran this network")
  }

  /// A kind of memory that the engine knows by name.
  fileprivate func memory(_ kind: String, device: Int = 0, type: Int32 = 0, _ name: String) throws(EngineError)
    -> EngineHandle
  {
    try handle(.failed, name, "ONNX Runtime does not know the memory \(kind)", call.release_memory_info) {
      call.create_memory_info(kind, 0, Int32(clamping: device), type, &$0)
    }
  }

  /// A view of the caller's memory as a tensor.
  fileprivate func tensor(
    _ start: UnsafeMutableRawPointer, _ shape: [Int], _ element: ElementType, _ memory: OpaquePointer,
    _ role: String, _ name: String
  ) throws(EngineError) -> EngineHandle {
    let lengths = shape.map(Int64.init), type = Self.elements.first { $0.value == element }?.key ?? 0
    return try handle(.failed, name, "ONNX Runtime does not accept the \(role) buffer", call.release_value) {
      call.create_tensor_with_data(
        memory, start, NetworkPorts.byteCount(shape, element) ?? 0, lengths, lengths.count, type, &$0)
    }
  }

  /// The shape of the output for an input of zeros.
  fileprivate func outputShape(
    of session: OpaquePointer, _ names: (input: String, output: String), _ inputShape: [Int], _ element: ElementType,
    _ memory: OpaquePointer, _ name: String
  ) throws(EngineError) -> [Int] {
    let input = TensorBuffer(byteCount: NetworkPorts.byteCount(inputShape, element) ?? 0)
    input.bytes.initializeMemory(as: UInt8.self, repeating: 0)
    let start = try input.bytes.start(ofTensor: inputShape, element, "input", name)
    let source = try tensor(start, inputShape, element, memory, "input", name)
    var result: OpaquePointer?
    try run(session, names, source.pointer, &result, .refused, name)
    guard let result else { return [] }
    defer { call.release_value(result) }
    let what = "ONNX Runtime does not describe the network's output"
    let info = try handle(.refused, name, what, call.release_tensor_info) { call.get_value_info(result, &$0) }
    return try lengths(of: info.pointer, .refused, name, what).compactMap { $0 }
  }

  /// Memory of this process that the device reaches by itself, so that copies do not hold up the thread.
  fileprivate func pinnedBuffer(
    _ count: Int, _ session: OpaquePointer, device: Int, _ name: String
  ) throws(EngineError) -> TensorBuffer {
    let what = "there is no memory of \(count) bytes that the GPU reaches"
    // -1: memory of the processor that the device writes to.
    let kind = try memory("CudaPinned", device: device, type: -1, name)
    let allocator = try handle(.failed, name, what, call.release_allocator) {
      call.create_allocator(session, kind.pointer, &$0)
    }
    var start: UnsafeMutableRawPointer?
    try check(call.allocate(allocator.pointer, count, &start), .failed, name, what)
    guard let start else { throw EngineError(.failed, name: name, what) }
    let owner = PinnedMemory(library: self, allocator: allocator, start: start)
    return TensorBuffer(bytes: UnsafeMutableRawBufferPointer(start: start, count: count)) { owner.release() }
  }
}

/// Memory that an engine's allocator gave, which goes back to it.
private final class PinnedMemory {
  private let library: ONNXRuntimeLibrary
  private let allocator: EngineHandle
  private let start: UnsafeMutableRawPointer

  init(library: ONNXRuntimeLibrary, allocator: consuming EngineHandle, start: UnsafeMutableRawPointer) {
    self.library = library
    self.allocator = allocator
    self.start = start
  }

  func release() {
    if let status = library.call.deallocate(allocator.pointer, start) { library.call.release_status(status) }
  }
}
