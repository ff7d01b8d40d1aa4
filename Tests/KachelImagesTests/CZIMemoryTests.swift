// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelImages
import KachelPixels
import KachelTesting
import Testing

/// What an open file needs of memory, at most and for each sub-block. Measured in a process of its own, in which no
/// other test allocates anything.
@Suite struct CZIMemoryTests {
  static let count = 60_000

  /// - Parameter isMosaic: tiles of one plane, else planes of one tile each.
  func file(_ count: Int, isMosaic: Bool, in folder: ScratchFolder) throws -> String {
    let blocks = (0..<Int32(count)).map { index in
      let region = Region(
        x: isMosaic ? Int(index) % 250 * 2 : 0, y: isMosaic ? Int(index) / 250 : 0, width: 2, height: 1)
      return CZIFixture.SubBlock(
        region, ["C": 0, "Z": 0, "T": isMosaic ? 0 : index, "S": 0, "B": 0, "H": 0, "V": 0, "M": isMosaic ? index : 0],
        pixels: [])
    }
    return try folder.write(CZIFixture(blocks).bytes, to: "\(count).czi")
  }

  @Test(arguments: [true, false]) func bytesForEachSubBlock(_ isMosaic: Bool) async throws {
    let folder = try ScratchFolder()
    let small = try file(1, isMosaic: isMosaic, in: folder)
    let large = try file(Self.count, isMosaic: isMosaic, in: folder)
    await #expect(processExitsWith: .success) { [small = small as String, large = large as String] in
      // What is needed once for all files is not counted.
      _ = try Image(at: small)
      ProcessMemory.resetPeak()
      let before = try #require(ProcessMemory.resident)
      let image = try Image(at: large)
      let each = try (#require(ProcessMemory.peak) - before) / Self.count
      #expect(image.description.scenes.count == 1)
      #expect(each <= 150)
    }
  }
}
