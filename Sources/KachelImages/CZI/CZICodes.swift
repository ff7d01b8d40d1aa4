// SPDX-License-Identifier: Apache-2.0
package import KachelPixels

/// The pixel types of CZI that Kachel reads. Samples of colour pixels stand in the order blue, green, red.
///
/// The codes are those of the libCZI documentation.
package enum CZIPixelType: Int32, Sendable {
  case gray8 = 0
  case gray16 = 1
  case gray32Float = 2
  case bgr24 = 3
  case bgr48 = 4
  case bgr96Float = 8
  case bgra32 = 9
  case gray32 = 12
  case gray64Float = 13

  package var sample: PixelType {
    switch self {
    case .gray8, .bgr24, .bgra32: .uint8
    case .gray16, .bgr48: .uint16
    case .gray32: .uint32
    case .gray32Float, .bgr96Float: .float32
    case .gray64Float: .float64
    }
  }

  package var layout: SampleLayout {
    switch self {
    case .gray8, .gray16, .gray32, .gray32Float, .gray64Float: .gray
    case .bgr24, .bgr48, .bgr96Float: .bgr
    case .bgra32: .bgra
    }
  }

  package var bytesPerPixel: Int { layout.samples * sample.size }

  /// What a code is called, read or not.
  package static func name(of code: Int32) -> String {
    switch code {
    case 0: "Gray8"
    case 1: "Gray16"
    case 2: "Gray32Float"
    case 3: "Bgr24"
    case 4: "Bgr48"
    case 8: "Bgr96Float"
    case 9: "Bgra32"
    case 10: "Gray64ComplexFloat"
    case 11: "Bgr192ComplexFloat"
    case 12: "Gray32"
    case 13: "Gray64Float"
    default: "unknown (code \(code))"
    }
  }
}

/// The compressions of CZI that Kachel reads.
package enum CZICompression: Int32, Sendable {
  case uncompressed = 0
  case jpeg = 1
  /// That of TIFF.
  case lzw = 2
  /// In some files it is only said to be so, and the pixels are uncompressed.
  case jpegXR = 4
  /// One plain Zstandard frame.
  case zstd0 = 5
  /// A header that says how the bytes were rearranged, then one Zstandard frame.
  case zstd1 = 6

  /// Whether pixels of a type can be compressed so. JPEG-XR may say that it is, and hold uncompressed pixels.
  package func holds(_ type: CZIPixelType) -> Bool { self != .jpeg || type == .gray8 || type == .bgr24 }

  /// What a code is called, read or not.
  package static func name(of code: Int32) -> String {
    switch code {
    case 0: "uncompressed"
    case 1: "JPEG"
    case 2: "LZW"
    case 3: "lossless JPEG"
    case 4: "JPEG-XR"
    case 5: "Zstd0"
    case 6: "Zstd1"
    case 7: "chunked"
    case 100..<1000: "camera RAW (code \(code))"
    case 1000...: "system RAW (code \(code))"
    default: "unknown (code \(code))"
    }
  }
}
