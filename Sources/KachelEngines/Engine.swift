// SPDX-License-Identifier: Apache-2.0

/// Software that runs networks. It knows graphs, shapes and buffers, and nothing of images or packages.
///
/// ```swift
/// let engine = try OpenVINO.load()
/// let network = try engine.read(.onnx(bytes), name: "nuclei.onnx")
/// let compiled = try network.compile(inputShape: [1, 512, 512, 1], threads: 2, streams: 1)
/// let request = try compiled.makeRequest()
/// let (tile, scores) = try compiled.makeBuffers()
/// try request.run(input: tile.bytes, output: scores.bytes)
/// ```
///
/// Every call blocks its thread for as long as it takes; see ``OwnThread``.
public protocol Engine: Sendable {
  /// What users know it as, as in `OpenVINO`.
  var name: String { get }
  /// Its version and build as it states them; results of different versions may differ in the last digits.
  var version: String { get }
  /// Where it computes.
  var device: Device { get }
  /// How precisely it computes.
  var precision: Precision { get }
  /// Whether it reads TensorFlow SavedModels; every engine reads ONNX.
  var readsSavedModels: Bool { get }

  /// Reads a network and looks at its inputs and outputs.
  ///
  /// - Parameter name: What errors call the network: usually its file.
  /// - Throws: `refused` where the bytes are not a network, or hold operations that the engine lacks.
  func read(_ source: NetworkSource, name: String) throws(EngineError) -> any Network
}

/// Where a network's graph and weights are.
public enum NetworkSource: Sendable {
  /// The content of an ONNX file with its weights inside.
  case onnx([UInt8])
  /// The path of a TensorFlow SavedModel: a folder with `saved_model.pb` and `variables`.
  case savedModel(folder: String)
}

/// The numbers that a tensor holds.
public enum ElementType: Sendable, Hashable, CustomStringConvertible {
  case float32, uint8, uint16

  /// Bytes of a number.
  public var size: Int {
    switch self {
    case .float32: 4
    case .uint16: 2
    case .uint8: 1
    }
  }

  public var description: String {
    switch self {
    case .float32: "32-bit floating point numbers"
    case .uint16: "16-bit unsigned integers"
    case .uint8: "8-bit unsigned integers"
    }
  }
}

/// The numbers of a network's input and output.
public struct ElementTypes: Sendable, Hashable {
  public let input: ElementType
  public let output: ElementType

  public init(input: ElementType = .float32, output: ElementType = .float32) {
    (self.input, self.output) = (input, output)
  }
}

/// An input or an output of a network.
public struct Port: Sendable, Hashable {
  /// Its name in the graph; empty where the graph gives none.
  public let name: String
  /// The length of each axis, nil where the network leaves it open; empty where even the number of axes is open.
  public let shape: [Int?]
  /// Its numbers; nil where they are of a type that cannot be passed.
  public let element: ElementType?

  public init(name: String, shape: [Int?], element: ElementType?) {
    self.name = name
    self.shape = shape
    self.element = element
  }
}

/// A network that an engine has read.
public protocol Network: Sendable {
  var inputs: [Port] { get }
  var outputs: [Port] { get }

  /// Prepares the network for tensors of one shape. Calls are independent of each other.
  ///
  /// - Parameters:
  ///   - inputShape: The length of every axis, as in `[1, 512, 512, 3]`. Where it is the network's own, the network is
  ///     left as it is.
  ///   - elements: The numbers that the caller passes and takes.
  ///   - threads: How many threads it may use in all, 1 or more.
  ///   - streams: For how many requests running at the same time the threads are split, 1 or more. Results do not
  ///     depend on either number.
  /// - Throws: `refused` where the network has not exactly one input, or takes or gives other numbers than those, or
  ///   cannot take that shape, as when a fixed size is built into it. Of several outputs only the first is delivered.
  func compile(
    inputShape: [Int], elements: ElementTypes, threads: Int, streams: Int
  ) throws(EngineError) -> any CompiledNetwork
}

extension Network {
  /// Prepares a network of 32-bit floating point numbers, as all of packages are.
  public func compile(inputShape: [Int], threads: Int, streams: Int) throws(EngineError) -> any CompiledNetwork {
    try compile(inputShape: inputShape, elements: ElementTypes(), threads: threads, streams: streams)
  }
}

/// A network ready to run on tensors of one shape.
public protocol CompiledNetwork: Sendable {
  var inputShape: [Int] { get }
  /// The shape of the network's first output for that input.
  var outputShape: [Int] { get }
  var elements: ElementTypes { get }

  /// A place to run it. Several requests of one network run at the same time, each on its own thread.
  func makeRequest() throws(EngineError) -> sending any InferenceRequest

  /// Memory for a tensor, from and to which the engine moves numbers fastest. Requests take any memory.
  func makeBuffer(byteCount: Int) throws(EngineError) -> TensorBuffer
}

extension CompiledNetwork {
  /// For an engine that computes on the processor any memory is as good.
  public func makeBuffer(byteCount: Int) throws(EngineError) -> TensorBuffer { TensorBuffer(byteCount: byteCount) }

  /// Memory for its input and its output.
  public func makeBuffers() throws(EngineError) -> (input: TensorBuffer, output: TensorBuffer) {
    func make(_ shape: [Int], _ element: ElementType) throws(EngineError) -> TensorBuffer {
      try makeBuffer(byteCount: shape.reduce(element.size, *))
    }
    return (try make(inputShape, elements.input), try make(outputShape, elements.output))
  }
}

/// One run of a network at a time. It may move between threads, but is used by one of them at a time.
public protocol InferenceRequest: AnyObject {
  /// Runs the network and returns when the output is complete.
  ///
  /// - Parameters:
  ///   - input: The input tensor: numbers of ``CompiledNetwork/elements``, the last axis running fastest, aligned to
  ///     their size. It is read in place, and not changed.
  ///   - output: Where the output tensor goes, laid out like the input. It is written in place, all of it.
  /// - Throws: `failed` where a buffer is not exactly as large as its shape demands, or where the engine fails.
  func run(input: UnsafeMutableRawBufferPointer, output: UnsafeMutableRawBufferPointer) throws(EngineError)
}
