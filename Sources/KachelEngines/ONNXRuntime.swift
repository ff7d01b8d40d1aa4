// SPDX-License-Identifier: Apache-2.0
private import CKachelEngines
private import Synchronization

/// Microsoft's ONNX Runtime, on the machine's processor or on an NVIDIA GPU: reads ONNX only.
///
/// On the processor its results are bit-identical from run to run, whatever the number of threads, streams and requests.
public final class ONNXRuntime: Engine {
  public let name = "ONNX Runtime"
  public let version: String
  public let device: Device
  public let precision: Precision
  public let readsSavedModels = false
  private let library: ONNXRuntimeLibrary
  private let environment: EngineHandle

  private struct Place: Hashable {
    let device: Device
    let precision: Precision
  }
  private static let loaded = Mutex<[Place: ONNXRuntime]>([:])

  /// The engine of this process for a device and a precision, found by ``EngineLibrary`` and loaded at the first call.
  ///
  /// - Throws: `missing` where there is none, or where it cannot be loaded; a later call tries again. `unsuitable` where
  ///   the machine has no such device, or where it does not compute in that precision.
  public static func load(device: Device = .cpu, precision: Precision = .fp32) throws(EngineError) -> ONNXRuntime {
    try check(device, precision)
    return try loaded.withLock { engines throws(EngineError) in
      let place = Place(device: device, precision: precision)
      if let engine = engines[place] { return engine }
      let wanted: EngineLibrary.Wanted = device == .cpu ? .onnxRuntime : .onnxRuntimeForCUDA
      let library = try ONNXRuntimeLibrary(path: EngineLibrary.ofThisProcess(wanted).find())
      let engine = try ONNXRuntime(library: library, device: device, precision: precision)
      engines[place] = engine
      return engine
    }
  }

  /// Loads the engine from a file `libonnxruntime`, for the processor. Once loaded, a library stays until the process
  /// ends.
  ///
  /// - Throws: `missing` where the file is not such a library, or where it does not work.
  public convenience init(library path: String) throws(EngineError) {
    try self.init(library: ONNXRuntimeLibrary(path: path), device: .cpu, precision: .fp32)
  }

  private init(library: ONNXRuntimeLibrary, device: Device, precision: Precision) throws(EngineError) {
    version = library.version
    // Only what ends the process is logged: errors come as results too, and are told once.
    let fatal: Int32 = 4
    environment = try library.handle(
      .missing, library.path, "the engine does not start", library.call.release_env
    ) { library.call.create_env(fatal, "kachel", &$0) }
    self.library = library
    self.device = device
    self.precision = precision
    guard device != .cpu else { return }
    kachel_onnxruntime_open_cuda(library.path)
    // Tried at once: that CUDA does not work has nothing to do with a network.
    let options = try library.handle(.missing, library.path, "the engine does not start", library.call.release_options)
    {
      library.call.create_options(&$0)
    }
    try useDevice(for: options.pointer)
  }

  /// Checks that the machine has the device, and that the engine computes in the precision there.
  static func check(_ device: Device, _ precision: Precision) throws(EngineError) {
    if device == .cpu, precision != .fp32 {
      throw EngineError(
        .unsuitable, name: precision.rawValue,
        "processors compute networks in fp32 only; other precisions need a GPU (--device cuda:0)")
    }
    try device.check()
  }

  public func read(_ source: NetworkSource, name: String) throws(EngineError) -> any Network {
    guard case .onnx(let bytes) = source else {
      throw EngineError(.refused, name: name, "ONNX Runtime reads ONNX, and no SavedModels")
    }
    return try ONNXRuntimeNetwork(bytes: bytes, name: name, engine: self, library: library)
  }

  /// How a session is made.
  struct Preparation {
    /// How many threads it may use in all, and for how many runs at the same time.
    let threads: Int
    let streams: Int
    /// Lengths of axes by the names that the network gives them.
    let lengths: [String: Int]
  }

  /// Reads a network for looking at it, or prepares it for running.
  func session(
    _ bytes: [UInt8], _ preparation: Preparation?, name: String
  ) throws(EngineError) -> EngineHandle {
    let call = library.call
    let what = preparation == nil ? "ONNX Runtime cannot read this network" : "ONNX Runtime cannot prepare this network"
    let options = try library.handle(.refused, name, what, call.release_options) { call.create_options(&$0) }
    let pointer = options.pointer
    if let preparation {
      try apply(preparation, to: pointer, name, what)
    } else {
      // As it is in the file: what is looked at is not run.
      try library.check(call.set_optimization_level(pointer, 0), .refused, name, what)
      try library.check(call.set_intra_op_threads(pointer, 1), .refused, name, what)
    }
    let environment = environment.pointer
    return try library.handle(.refused, name, what, call.release_session) { session in
      bytes.withUnsafeBytes { raw in
        // An empty array has no address; the engine says that there is no network in any other one.
        withUnsafePointer(to: UInt8(0)) { nothing in
          call.create_session_from_array(
            environment, raw.baseAddress ?? UnsafeRawPointer(nothing), raw.count, pointer, &session)
        }
      }
    }
  }

  private func apply(
    _ preparation: Preparation, to options: OpaquePointer, _ name: String, _ what: String
  ) throws(EngineError) {
    let call = library.call
    // Planned memory is reserved for all of the network at once: half as much again.
    try library.check(call.disable_memory_pattern(options), .refused, name, what)
    // Each run's own thread computes too, so that so many together are those that may be used.
    let threads = max(1, preparation.threads - preparation.streams + 1)
    try library.check(call.set_intra_op_threads(options, Int32(clamping: threads)), .refused, name, what)
    // Threads without work would spin, and take the processor from those that read and write.
    try library.check(call.add_setting(options, "session.intra_op.allow_spinning", "0"), .refused, name, what)
    for (axis, length) in preparation.lengths {
      try library.check(call.override_length(options, axis, Int64(length)), .refused, name, what)
    }
    try useDevice(for: options)
  }

  /// Has sessions with these options computed by the GPU, if that is the device. What it cannot do the processor does.
  private func useDevice(for options: OpaquePointer) throws(EngineError) {
    guard case .cuda(let index) = device else { return }
    let (call, what) = (library.call, "CUDA does not work on this machine")
    let cuda = try library.handle(.missing, library.path, what, call.release_cuda_options) {
      call.create_cuda_options(&$0)
    }
    let settings = [
      ("device_id", "\(index)"),
      // Left alone, the engine would multiply in TF32.
      ("use_tf32", precision == .tf32 ? "1" : "0"),
      // By rule, not by the stopwatch, so that every run takes the same algorithms.
      ("cudnn_conv_algo_search", "HEURISTIC"),
    ]
    try library.check(
      withCStrings(settings.map(\.0)) { keys in
        withCStrings(settings.map(\.1)) { call.update_cuda_options(cuda.pointer, keys, $0, settings.count) }
      }, .missing, library.path, what)
    try library.check(call.append_cuda(options, cuda.pointer), .missing, library.path, what)
  }
}
