// SPDX-License-Identifier: Apache-2.0
private import CKachelEngines
private import Foundation
private import Synchronization

/// Intel's OpenVINO on the machine's processor: reads ONNX and TensorFlow SavedModels, needs neither Python nor
/// TensorFlow, and always computes in 32-bit floating point.
///
/// Its results are bit-identical from run to run, whatever the number of threads, streams and requests.
public final class OpenVINO: Engine {
  public let name = "OpenVINO"
  public let version: String
  public let device = Device.cpu
  public let precision = Precision.fp32
  public let readsSavedModels = true
  private let library: OpenVINOLibrary
  private let core: EngineHandle

  private static let loaded = Mutex<OpenVINO?>(nil)

  /// The engine of this process, found by ``EngineLibrary`` and loaded at the first call.
  ///
  /// - Throws: `missing` where there is none, or where it cannot be loaded. A later call tries again.
  public static func load() throws(EngineError) -> OpenVINO {
    // Two threads that come first together wait for one load.
    try loaded.withLock { engine throws(EngineError) in
      if let engine { return engine }
      let found = try OpenVINO(library: EngineLibrary.ofThisProcess(.openVINO).find())
      engine = found
      return found
    }
  }

  /// Loads the engine from a file `libopenvino_c`. Once loaded, a library stays until the process ends.
  ///
  /// - Throws: `missing` where the file is not such a library, or where it does not work.
  public init(library path: String) throws(EngineError) {
    let library = try OpenVINOLibrary(path: path)
    version = library.version
    core = try library.handle(.missing, path, "the engine does not start", library.call.core_free) {
      library.call.core_create(&$0)
    }
    self.library = library
  }

  public func read(_ source: NetworkSource, name: String) throws(EngineError) -> any Network {
    try OpenVINONetwork(source: source, name: name, engine: self)
  }

  /// Reads a network into a graph of its own.
  func graph(_ source: NetworkSource, name: String) throws(EngineError) -> EngineHandle {
    let refusal = "OpenVINO cannot read this network"
    switch source {
    case .onnx(let bytes):
      // The engine copies what it needs of the bytes.
      return try library.handle(.refused, name, refusal, library.call.model_free) { graph in
        bytes.withUnsafeBytes { raw in
          raw.withMemoryRebound(to: CChar.self) { text in
            guard let start = text.baseAddress else { return -1 }
            return library.call.core_read_model_from_memory_buffer(core.pointer, start, text.count, nil, &graph)
          }
        }
      }
    case .savedModel(let folder):
      guard FileManager.default.isReadableFile(atPath: folder + "/saved_model.pb") else {
        throw EngineError(.refused, name: name, "\(folder) is not a SavedModel folder: it has no saved_model.pb")
      }
      return try library.handle(.refused, name, refusal, library.call.model_free) { graph in
        library.call.core_read_model(core.pointer, folder, nil, &graph)
      }
    }
  }

  func inputs(of graph: borrowing EngineHandle, name: String) throws(EngineError) -> [Port] {
    let graph = graph.pointer
    return try library.ports(
      name, count: { library.call.model_inputs_size(graph, &$0) },
      port: { library.call.model_const_input_by_index(graph, $0, &$1) })
  }

  func outputs(of graph: borrowing EngineHandle, name: String) throws(EngineError) -> [Port] {
    let graph = graph.pointer
    return try library.ports(
      name, count: { library.call.model_outputs_size(graph, &$0) },
      port: { library.call.model_const_output_by_index(graph, $0, &$1) })
  }

  /// Gives a graph's single input another shape, in place.
  func reshape(
    _ graph: borrowing EngineHandle, to shape: [Int], name: String, _ refusal: String
  ) throws(EngineError) {
    let lengths = shape.map { ov_dimension(min: Int64($0), max: Int64($0)) }
    var wanted = ov_partial_shape()
    try library.check(
      library.call.partial_shape_create(Int64(lengths.count), lengths, &wanted), .refused, name, refusal)
    defer { library.call.partial_shape_free(&wanted) }
    try library.check(library.call.model_reshape_single_input(graph.pointer, wanted), .refused, name, refusal)
  }

  /// Makes a graph ready to run.
  func compile(
    _ graph: borrowing EngineHandle, inputShape: [Int], threads: Int, streams: Int, name: String
  ) throws(EngineError) -> OpenVINOCompiledNetwork {
    let graph = graph.pointer
    let settings = [
      // On newer processors the engine would compute in 16 bits if it were left to choose.
      "INFERENCE_PRECISION_HINT", "f32",
      "INFERENCE_NUM_THREADS", "\(threads)",
      "NUM_STREAMS", "\(streams)",
      // Pinned, all processes on a machine would sit on the same cores.
      "ENABLE_CPU_PINNING", "NO",
    ]
    let texts = settings.map { (text: String) in strdup(text) }
    defer { for text in texts { free(text) } }
    let pointers = texts.compactMap { $0.map { UnsafePointer($0) } }
    guard pointers.count == settings.count else {
      throw EngineError(.failed, name: name, "there is no memory left to compile the network")
    }
    let compiled = try library.handle(
      .refused, name, "OpenVINO cannot prepare this network", library.call.compiled_model_free
    ) { compiled in
      kachel_openvino_compile(library.table, core.pointer, graph, "CPU", pointers, &compiled)
    }
    return try OpenVINOCompiledNetwork(
      compiled: compiled, inputShape: inputShape, name: name, library: library, engine: self)
  }
}
