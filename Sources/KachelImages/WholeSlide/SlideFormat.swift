// SPDX-License-Identifier: Apache-2.0
package import KachelBytes

/// A whole-slide scanner's format that OpenSlide reads, as a file's content tells it.
///
/// The marks are those by which OpenSlide itself tells the formats, so that a file is never one image with OpenSlide and
/// another without. A TIFF without any of them is read as TIFF, also where OpenSlide would read it (as "generic
/// TIFF"). ZEISS slides are CZI files, which Kachel reads itself.
package enum SlideFormat: String, Sendable, CaseIterable {
  case aperio = "Aperio SVS"
  case hamamatsuNDPI = "Hamamatsu NDPI"
  case hamamatsuVMS = "Hamamatsu VMS"
  case leica = "Leica SCN"
  case mirax = "MIRAX"
  case philips = "Philips TIFF"
  case sakura = "Sakura SVSLIDE"
  case trestle = "Trestle TIFF"
  case ventana = "Ventana BIF"
  case dicom = "DICOM"

  /// What OpenSlide calls the format.
  var vendor: String {
    switch self {
    case .hamamatsuNDPI, .hamamatsuVMS: "hamamatsu"
    case .aperio: "aperio"
    case .leica: "leica"
    case .mirax: "mirax"
    case .philips: "philips"
    case .sakura: "sakura"
    case .trestle: "trestle"
    case .ventana: "ventana"
    case .dicom: "dicom"
    }
  }

  /// What a file of the format is, in words.
  var kind: String {
    switch self {
    case .sakura: "an SQLite database, as Sakura's slides are"
    case .dicom: "a DICOM file, as some slides are"
    case .aperio: "an Aperio slide"
    default: "a \(rawValue) slide"
    }
  }

  /// Whether the mark is that of a slide, and not of a container that may hold anything.
  var isCertain: Bool { self != .sakura && self != .dicom }

  /// What to look at where OpenSlide does not recognise a file of the format.
  var remedy: String {
    switch self {
    case .mirax: "its pixels are in the folder of the same name beside it, which must be there"
    case .hamamatsuVMS: "the files that it names must be beside it"
    case .dicom: "DICOM slides need OpenSlide 4.0 or later; other DICOM files are not read"
    case .sakura: "other databases are not read"
    default: "the file may be incomplete, or need a newer OpenSlide"
    }
  }

  /// The format of TIFF in which the whole list of pages can be read by the rules of TIFF.
  var isPlainTIFF: Bool {
    switch self {
    case .aperio, .leica, .philips, .trestle, .ventana: true
    case .hamamatsuNDPI, .hamamatsuVMS, .mirax, .sakura, .dicom: false
    }
  }

  /// - Parameters:
  ///   - source: the file.
  ///   - start: its first bytes, some thousand.
  package init?(_ source: ByteSource, start: [UInt8]) {
    let isDICOM = start.count > 132 && start[128..<132].elementsEqual("DICM".utf8)
    let isVMS = ["[Virtual Microscope Specimen]", "[Uncompressed Virtual Microscope Specimen]"]
      .contains(where: start.containsText)
    switch ImageFormat(start) {
    case .tiff: self.init(tiff: source, start: start)
    case nil where isDICOM: self = .dicom
    case nil where isVMS: self = .hamamatsuVMS
    case nil where start.starts(with: "SQLite format 3\0".utf8): self = .sakura
    // The only format without a mark: such a file holds a small JPEG picture, or what means nothing without its folder.
    case nil where source.path.hasSuffix(".mrxs"), .jpeg where source.path.hasSuffix(".mrxs"): self = .mirax
    default: return nil
    }
  }

  private init?(tiff source: ByteSource, start: [UInt8]) {
    guard start.count >= 16 else { return nil }
    let isBigEndian = start[0] == 0x4D
    let isBigTIFF = start[isBigEndian ? 3 : 2] == 43
    let reader = TIFFValueReader(source: source, isBigEndian: isBigEndian, isBigTIFF: isBigTIFF)
    // An NDPI file of more than 4 GiB has an offset of 64 bits where TIFF has one of 32.
    let offsets = isBigTIFF ? [start[8..<16]] : [start[4..<8], start[4..<12]]
    for bytes in offsets {
      guard let page = try? TIFFDirectory(at: reader.number(bytes), reader) else { continue }
      if page.isNDPI {
        self = .hamamatsuNDPI
        return
      }
      if bytes.count == (isBigTIFF ? 8 : 4), let format = Self.format(of: page, reader) {
        self = format
        return
      }
    }
    return nil
  }

  private static func format(of page: TIFFDirectory, _ reader: TIFFValueReader) -> Self? {
    /// The beginning of a text, in which the marks stand.
    func text(_ values: TIFFFile.Values?) -> [UInt8] {
      guard let values else { return [] }
      return (try? reader.bytes(at: UInt64(values.position), count: min(values.count, 1 << 16))) ?? []
    }
    let (description, software) = (text(page.text), text(page.software))
    if software.starts(with: "MedScan".utf8), page.text != nil, page.isTiled { return .trestle }
    if description.starts(with: "Aperio".utf8), page.isTiled { return .aperio }
    if page.isTiled,
      ["2010/03/10", "2010/10/01"].contains(where: {
        description.containsText("http://www.leica-microsystems.com/scn/\($0)")
      })
    {
      return .leica
    }
    if software.starts(with: "Philips".utf8), description.containsText("DPUfsImport") { return .philips }
    if text(page.xmp).containsText("<iScan") { return .ventana }
    return nil
  }
}

extension [UInt8] {
  fileprivate func containsText(_ text: String) -> Bool {
    let wanted = Array(text.utf8)
    return count >= wanted.count && (0...count - wanted.count).contains { self[$0...].starts(with: wanted) }
  }
}
