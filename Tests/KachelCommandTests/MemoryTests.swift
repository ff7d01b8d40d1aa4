// SPDX-License-Identifier: Apache-2.0
#if os(Linux)
  import Foundation
  import Kachel
  import KachelTesting
  import Testing

  /// `--memory` is a promise for the whole process, which only a process of its own can keep, and changes no pixel.
  @Suite struct MemoryTests {
    private let kachel: KachelProcess
    init() throws { kachel = try KachelProcess() }

    /// Networks that are exact, exact with statistics, and canonical, with images and little memory for them.
    static let runs = [
      (model: "example/nuclei.czann", image: "example/nuclei-mosaic.czi", region: "700,0,1000,1040", memory: "250M"),
      ("models/tf/v120/seed_onnx12_dynamic.czmodel", "example/nuclei-mosaic.czi", "0,0,1500,900", "130M"),
      ("models_large/PGC_20X_nucleus_detector.czseg", "napari_czann_segment/PGC_20X.czi", "700,500,600,900", "750M"),
    ]

    @Test(arguments: runs)
    func theLimitIsKeptAndChangesNothing(model: String, image: String, region: String, memory: String) async throws {
      let arguments = try [
        "segment", SharedData.path(image), "--model", SharedData.path(model), "--region", region, "--output",
      ]
      let free = try await kachel.run(arguments + ["free.ome.zarr"])
      #expect(free.status == 0, "\(free.errors)")
      var peak = 0
      let limited = try await kachel.run(arguments + ["limited.ome.zarr", "--memory", memory]) { process, _ in
        while let most = peakMemory(of: process) {
          // A run lets the system count anew between its trials.
          peak = max(peak, most)
          Thread.sleep(forTimeInterval: 0.002)
        }
      }
      #expect(limited.status == 0, "\(limited.errors)")
      let limit = try #require(MemoryLimit(memory))
      #expect(peak > 50 << 20 && peak <= limit.bytes, "\(peak >> 20) MB of \(memory)")
      let labels = try stored(kachel.folder.file("limited.ome.zarr"))
      #expect(Set(labels.bytes) == [1, 2])
      #expect(try labels == stored(kachel.folder.file("free.ome.zarr")))
    }

    /// The most memory that a running process has held, in bytes; `nil` where it has ended.
    private func peakMemory(of process: Int32) -> Int? {
      guard let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8),
        let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
        let kilobytes = line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) })
      else { return nil }
      return kilobytes << 10
    }
  }
#endif
