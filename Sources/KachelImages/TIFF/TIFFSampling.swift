// SPDX-License-Identifier: Apache-2.0
import KachelPixels

/// The compressions of TIFF that Kachel reads.
enum TIFFCompression: Int {
  case none = 1
  case lzw = 5
  case jpeg = 7
  case deflate = 8
  case packBits = 32773
  case oldDeflate = 32946
  case zstandard = 50000

  static func name(of code: Int) -> String {
    switch code {
    case 1: "uncompressed"
    case 2: "CCITT Huffman"
    case 3: "CCITT fax 3"
    case 4: "CCITT fax 4"
    case 5: "LZW"
    case 6: "old-style JPEG"
    case 7: "JPEG"
    case 8, 32946: "Deflate"
    case 32773: "PackBits"
    case 33003, 33005, 34712: "JPEG 2000"
    case 34887: "LERC"
    case 34925: "LZMA"
    case 50000: "Zstandard"
    case 50001: "WebP"
    case 50002, 52546: "JPEG XL"
    default: "unknown (code \(code))"
    }
  }

  /// How many bytes one stored byte can become at most.
  var mostExpansion: UInt64 {
    switch self {
    case .none: 1
    // A code has at least 9 bits and stands for at most 4096 bytes.
    case .lzw: 4096
    case .deflate, .oldDeflate: 1040
    case .packBits: 64
    // A bit stands for at least a square of 8 x 8 samples, of which smaller colours make up to 4 x 4 times as many.
    case .jpeg: 16384
    // A block of one repeated byte has 4 bytes and makes 128 KiB.
    case .zstandard: 32768
    }
  }
}

/// How the samples of a page become channels.
struct TIFFSampling: Sendable, Hashable {
  enum Treatment: Sendable, Hashable {
    case direct
    /// White is 0.
    case inverted
    /// Samples are indices of colours.
    case palette
  }

  let pixelType: PixelType
  let layout: SampleLayout
  /// How many channels a page holds, one behind the other; each has the layout's number of samples.
  let channels: Int
  let treatment: Treatment

  /// Samples of one channel in the file.
  var storedSamples: Int { treatment == .palette ? 1 : layout.samples }

  /// - Parameter keepsIndices: whether samples with a palette are numbers that the palette only displays, as in
  ///   ImageJ's and OME's channels.
  /// - Throws: `unsupported` where the page is of a kind that is not read.
  init(_ page: TIFFDirectory, keepsIndices: Bool, file: String) throws(ImageError) {
    if let obstacle = Self.obstacle(page) {
      throw ImageError(.unsupported, file: file, offset: Int(clamping: page.offset), "TIFF with \(obstacle)")
    }
    guard let type = page.pixelType, 1...TIFFDirectory.mostSamples ~= page.samples, TIFFGrid(page) != nil else {
      throw ImageError(
        .damaged, file: file, offset: Int(clamping: page.offset),
        "a page has \(page.samples) samples in blocks that fit no image")
    }
    let hasAlpha = page.firstExtra == 1 || page.firstExtra == 2
    switch (page.photometric, page.samples) {
    case (3, 1) where !keepsIndices: (layout, treatment) = (.rgb, .palette)
    case (0, 1): (layout, treatment) = (.gray, type.isFloatingPoint ? .direct : .inverted)
    case (2, 3), (6, 3): (layout, treatment) = (.rgb, .direct)
    case (2, 4): (layout, treatment) = (.rgba, .direct)
    case (_, 2) where hasAlpha: (layout, treatment) = (.grayAlpha, .direct)
    default: (layout, treatment) = (.gray, .direct)
    }
    pixelType = treatment == .palette ? .uint8 : type
    channels = page.samples / (treatment == .palette ? 1 : layout.samples)
  }

  private static func obstacle(_ page: TIFFDirectory) -> String? {
    guard let compression = TIFFCompression(rawValue: page.compression) else {
      return "the compression \(TIFFCompression.name(of: page.compression)), which is not read; save it with Deflate"
    }
    guard page.pixelType != nil else {
      let kind = [
        "integers", "integers", "signed integers", "floating point", "bits", "complex integers", "complex numbers",
      ]
      return page.bits == 0
        ? "samples of several types in a pixel, which is not read"
        : "samples of \(page.bits) bits (\(kind.indices.contains(page.sampleFormat) ? kind[page.sampleFormat] : "unknown")), "
          + "which are not read; save it with 8, 16 or 32 bits"
    }
    switch page.photometric {
    case nil, 0, 1, 2: break
    case 3:
      if page.samples != 1 { return "a palette for several samples, which is not read" }
    case 6:
      if compression != .jpeg || page.samples != 3 || page.isPlanar {
        return "YCbCr colours that are not JPEG, which are not read; save it as RGB"
      }
    case 4: return "a transparency mask as its image"
    case 5: return "CMYK colours, which are not read; save it as RGB"
    case 8, 9, 10: return "CIE Lab colours, which are not read; save it as RGB"
    case 32803: return "raw camera pixels (CFA), which are not read; save it as RGB"
    case .some(let code): return "the photometric interpretation \(code), which is not read"
    }
    if page.bits < 8, page.samples > 1 { return "\(page.samples) samples of \(page.bits) bits, which is not read" }
    return nil
  }
}
