// SPDX-License-Identifier: Apache-2.0
private import Kachel

/// Images that are files.
enum ImageTargets {
  /// Opens an image and reads parts of it.
  static func probe(_ path: String) {
    let start = ContinuousClock.now
    do {
      // Single reads may take as long as they do; many of them are no hang.
      let probe = try DamageProbe.open(path) { ContinuousClock.now - start > .seconds(1) }
      FuzzTarget.show("\(probe.read) regions read, \(probe.refusals.count) refused")
      for error in probe.refusals { FuzzTarget.show("\(error)") }
    } catch {
      fatalError("a promise was broken: \(error)")
    }
  }

  static func file(_ input: UnsafeRawBufferPointer, name: String) { probe(Scratch.write(input, to: name)) }

  /// The same document in the first page of a TIFF file, and beside it.
  static func omeXML(_ input: UnsafeRawBufferPointer) {
    let size = Size(width: 5, height: 4)
    var fixture = TIFFFixture((0..<6).map { .init(size, filledWith: UInt8($0)) })
    fixture.pages[0].description = String(decoding: input, as: UTF8.self)
    probe(Scratch.write(fixture.bytes, to: "a.ome.tif"))
    probe(Scratch.write(input, to: "a.companion.ome"))
  }

  /// A PNG file whose checksums are made right, as what is behind them would hardly ever be reached.
  static func png(_ input: UnsafeRawBufferPointer) {
    var bytes = Array(input)
    func number(_ at: Int) -> Int { bytes[at..<at + 4].reduce(0) { $0 << 8 | Int($1) } }
    var at = 8
    while at + 12 <= bytes.count, number(at) <= bytes.count - at - 12 {
      let end = at + 8 + number(at)
      let sum = ZipFixture.crc32(Array(bytes[at + 4..<end]))
      for byte in 0..<4 { bytes[end + byte] = UInt8(truncatingIfNeeded: sum >> (24 - 8 * UInt32(byte))) }
      at = end + 4
    }
    probe(Scratch.write(bytes, to: "a.png"))
  }
}
