// SPDX-License-Identifier: Apache-2.0
private import CKachelEngines

/// Where a network is computed.
public enum Device: Sendable, Hashable, CustomStringConvertible {
  /// The machine's processor.
  case cpu
  /// One of its NVIDIA GPUs, counted from 0.
  case cuda(Int)

  /// Reads `cpu`, `cuda:1`, or `cuda` for the first.
  public init?(_ text: String) {
    switch text {
    case "cpu": self = .cpu
    case "cuda": self = .cuda(0)
    default:
      guard let match = text.wholeMatch(of: /cuda:([0-9]{1,4})/), let index = Int(match.1) else { return nil }
      self = .cuda(index)
    }
  }

  public var description: String {
    switch self {
    case .cpu: "cpu"
    case .cuda(let index): "cuda:\(index)"
    }
  }

  /// Whether tensors are copied to the device and back.
  public var copiesTensors: Bool { self != .cpu }

  /// How many NVIDIA GPUs the machine's driver offers; nil where there is no driver that works.
  static var cudaCount: Int? {
    let count = kachel_cuda_device_count()
    return count < 0 ? nil : Int(count)
  }

  /// Checks that the machine has the device.
  ///
  /// - Throws: `unsuitable`, with those that it has.
  func check(cudaCount: Int? = Self.cudaCount) throws(EngineError) {
    guard case .cuda(let index) = self else { return }
    guard let cudaCount else {
      throw EngineError(
        .unsuitable, name: description,
        "this machine has no NVIDIA driver that works (libcuda.so.1); run with --device cpu, or install the driver")
    }
    guard index < cudaCount else {
      let devices = cudaCount == 1 ? "its only one is cuda:0" : "it has cuda:0 to cuda:\(cudaCount - 1)"
      throw EngineError(
        .unsuitable, name: description,
        cudaCount == 0
          ? "this machine has an NVIDIA driver, but no GPU for it; run with --device cpu"
          : "this machine has no such GPU; \(devices)")
    }
  }
}

/// How precisely a network is computed. What goes in and comes out does not depend on it.
public enum Precision: String, Codable, Sendable, Hashable, CaseIterable {
  /// 32-bit floating point numbers.
  case fp32
  /// 32-bit floating point numbers, of which multiplications take the first 10 bits of the fraction (NVIDIA's TF32).
  case tf32
  /// 16-bit floating point numbers in convolutions and matrix products. The network's graph must say so; runs of packages
  /// see to that.
  case fp16
}
