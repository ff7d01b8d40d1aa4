// SPDX-License-Identifier: Apache-2.0
import KachelBytes

/// The formats that images and label images are written in.
public enum OutputFormat: Sendable, Hashable {
  /// A folder in the layout of OME-Zarr.
  case omeZarr(OMEZarrOptions = OMEZarrOptions())
  /// One TIFF file with OME-XML in it.
  case omeTIFF
  /// One file as ZEN has it.
  case czi
  /// A file of one plane.
  case png

  /// The format that follows from a name's extension; a name without one is a folder of OME-Zarr.
  ///
  /// - Parameter omeZarr: how it is stored if it is an OME-Zarr.
  /// - Throws: `unsupported` where no format has that extension, or `path` is an address.
  public init(path: String, omeZarr: OMEZarrOptions = OMEZarrOptions()) throws(ImageError) {
    guard !path.contains("://") else {
      throw ImageError(.unsupported, file: path, "is an address; images are written on this machine only")
    }
    let file = path.lowercased().split(separator: "/").last ?? ""
    // What is no name at all, as `..`, has no extension either.
    if file.hasSuffix(".zarr") || !file.drop(while: { $0 == "." }).contains(".") {
      self = .omeZarr(omeZarr)
    } else if [".tif", ".tiff", ".btf", ".tf8"].contains(where: { file.hasSuffix($0) }) {
      self = .omeTIFF
    } else if file.hasSuffix(".czi") {
      self = .czi
    } else if file.hasSuffix(".png") {
      self = .png
    } else {
      throw ImageError(.unsupported, file: path, "no format has this extension; images are written as \(Self.list)")
    }
  }

  /// The format of that extension, with or without a dot before it.
  public init(extension name: String) throws(ImageError) {
    guard !name.isEmpty, !name.contains("/") else {
      throw ImageError(.unsupported, file: "\"\(name)\"", "is no extension; images are written as \(Self.list)")
    }
    try self.init(path: "image." + name.drop { $0 == "." })
  }

  /// The extensions in words.
  public static let list = ".ome.zarr, .ome.tiff, .czi and .png"

  /// Whether an output of this format is a folder.
  public var isFolder: Bool { if case .omeZarr = self { true } else { false } }

  var sampleStorage: SampleStorage {
    switch self {
    case .omeZarr: .planes
    case .czi: .bgr
    case .omeTIFF, .png: .rgb
    }
  }

  func container(for image: OutputImage, at output: PendingOutput) throws(ImageError) -> any ImageContainer {
    switch self {
    case .omeZarr(let options): try OMEZarrContainer(image, folder: output.temporaryPath, options: options)
    case .omeTIFF: try OMETIFFContainer(image, at: output)
    case .czi: try CZIContainer(image, output: output)
    case .png: try PNGContainer(image, at: output)
    }
  }
}
