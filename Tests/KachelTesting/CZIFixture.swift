// SPDX-License-Identifier: Apache-2.0
private import KachelBytes
public import KachelPixels

/// Builds CZI files for tests, right ones and wrong ones.
///
/// Every field may be set apart from the others, so that a file can say what is not so.
public struct CZIFixture: Sendable {
  public enum Compression: Int32, Sendable, CaseIterable {
    case uncompressed = 0
    case jpeg = 1
    case lzw = 2
    case jpegXR = 4
    case zstd0 = 5
    case zstd1 = 6
    /// Zstd1 with HiLo packing; the file says 6.
    case zstd1HiLo = -6

    /// The number in the file.
    public var code: Int32 { abs(rawValue) }
  }

  public struct Dimension: Sendable {
    public var name: String
    public var start: Int32
    public var size: Int32
    public var storedSize: Int32

    public init(_ name: String, _ start: Int32, size: Int32 = 1, storedSize: Int32? = nil) {
      (self.name, self.start, self.size) = (name, start, size)
      self.storedSize = storedSize ?? size
    }
  }

  public struct SubBlock: Sendable {
    /// X and Y among them.
    public var dimensions: [Dimension]
    public var pixelType: Int32
    public var compression: Int32
    /// The encoded pixels.
    public var payload: [UInt8]
    /// The XML before the pixels, and what follows them.
    public var metadata = ""
    public var attachment: [UInt8] = []
    public var filePart: Int32 = 0
    public var schema = "DV"
    /// What the segment says of its pixels' size and its own, where that differs from the truth.
    public var declaredDataSize: Int64?
    public var declaredAllocatedSize: Int64?
    /// Where the directory says that the segment stands, where that differs from the truth.
    public var declaredPosition: Int64?

    fileprivate var size: Int { metadata.utf8.count + payload.count + attachment.count }

    /// - Parameters:
    ///   - region: in the file's pixel coordinates.
    ///   - positions: starts along further dimensions, as in `["C": 0, "M": 3]`.
    ///   - pixels: tight rows, little-endian; they are compressed here.
    public init(
      _ region: Region, _ positions: KeyValuePairs<String, Int32> = [:], pixelType: Int32 = 0,
      compression: Compression = .uncompressed, pixels: [UInt8]
    ) {
      dimensions =
        [
          Dimension("X", Int32(region.x), size: Int32(region.width)),
          Dimension("Y", Int32(region.y), size: Int32(region.height)),
        ] + positions.map { Dimension($0.key, $0.value) }
      self.pixelType = pixelType
      self.compression = compression.code
      payload = CZIFixture.encode(pixels, compression)
    }
  }

  /// A tile of a pyramid: fewer pixels than it covers.
  ///
  /// - Parameters:
  ///   - region: what it covers at full resolution.
  ///   - stored: how many pixels it has.
  public static func reduced(
    _ region: Region, _ stored: Size, _ positions: KeyValuePairs<String, Int32> = [:], pixelType: Int32 = 0,
    pixels: [UInt8]
  ) -> SubBlock {
    var block = SubBlock(region, positions, pixelType: pixelType, pixels: pixels)
    block.dimensions[0].storedSize = Int32(stored.width)
    block.dimensions[1].storedSize = Int32(stored.height)
    return block
  }

  public struct Attachment: Sendable {
    public var type: String
    public var name: String
    public var content: [UInt8]
    /// What the segment says of its content's size, where that differs from the truth.
    public var declaredSize: Int64?

    public init(_ type: String, _ name: String, _ content: [UInt8]) {
      (self.type, self.name, self.content) = (type, name, content)
    }
  }

  public var subBlocks: [SubBlock]
  /// The metadata document; none where `nil`.
  public var xml: String?
  public var attachments: [Attachment] = []
  public var fileSignature = "ZISRAWFILE"
  public var filePart: Int32 = 0
  public var majorVersion: Int32 = 1
  public var declaredEntryCount: Int32?
  public var declaredDirectoryPosition: Int64?
  public var declaredXMLSize: Int32?

  public init(_ subBlocks: [SubBlock], xml: String? = nil) {
    self.subBlocks = subBlocks
    self.xml = xml
  }

  /// Compresses pixels as CZI does. JPEG-XR, JPEG and LZW keep the bytes as they are, as some files do for JPEG-XR.
  public static func encode(_ pixels: [UInt8], _ compression: Compression) -> [UInt8] {
    pixels.withUnsafeBytes { bytes in
      switch compression {
      case .uncompressed, .jpeg, .lzw, .jpegXR: return pixels
      case .zstd0: return Zstandard.compress(bytes)
      case .zstd1: return [1] + Zstandard.compress(bytes)
      case .zstd1HiLo:
        var packed = [UInt8](repeating: 0, count: pixels.count)
        packed.withUnsafeMutableBytes { HiLo.pack(bytes, into: $0) }
        return [3, 1, 1] + packed.withUnsafeBytes { Zstandard.compress($0) }
      }
    }
  }

  /// The file.
  public var bytes: [UInt8] {
    var file = ByteWriter()
    file.segment(fileSignature, size: 512)
    file.integer(majorVersion)
    file.zeros(44)
    file.integer(filePart)
    // The positions of directory and metadata are known at the end.
    let positions = file.bytes.count
    file.zeros(512 - 52)

    var blockPositions: [Int64] = []
    for block in subBlocks {
      blockPositions.append(Int64(file.bytes.count))
      let header = max(256, 48 + 20 * block.dimensions.count)
      file.segment("ZISRAWSUBBLOCK", size: block.declaredAllocatedSize ?? Int64(header + block.size))
      let start = file.bytes.count
      file.integer(Int32(block.metadata.utf8.count))
      file.integer(Int32(block.attachment.count))
      file.integer(block.declaredDataSize ?? Int64(block.payload.count))
      file.entry(block, position: Int64(start - 32))
      file.zeros(header - (file.bytes.count - start))
      file.bytes += Array(block.metadata.utf8) + block.payload + block.attachment
      file.align()
    }

    let directory = Int64(file.bytes.count)
    var entries = ByteWriter()
    for (block, position) in zip(subBlocks, blockPositions) {
      entries.entry(block, position: block.declaredPosition ?? position)
    }
    file.segment("ZISRAWDIRECTORY", size: Int64(128 + entries.bytes.count))
    file.integer(declaredEntryCount ?? Int32(subBlocks.count))
    file.zeros(124)
    file.bytes += entries.bytes
    file.align()

    var metadata: Int64 = 0
    if let xml {
      metadata = Int64(file.bytes.count)
      file.segment("ZISRAWMETADATA", size: Int64(256 + xml.utf8.count))
      file.integer(declaredXMLSize ?? Int32(xml.utf8.count))
      file.zeros(252)
      file.bytes += Array(xml.utf8)
      file.align()
    }
    let attachments = appendAttachments(to: &file)
    var places = ByteWriter()
    places.integer(declaredDirectoryPosition ?? directory)
    places.integer(metadata)
    places.zeros(4)
    places.integer(attachments)
    file.bytes.replaceSubrange(positions..<positions + 28, with: places.bytes)
    return file.bytes
  }

  /// Appends the attachments and their list, and returns where the list stands.
  private func appendAttachments(to file: inout ByteWriter) -> Int64 {
    guard !attachments.isEmpty else { return 0 }
    var entries = ByteWriter()
    for attachment in attachments {
      entries.text("A1", size: 12)
      entries.integer(Int64(file.bytes.count))
      entries.zeros(20)
      entries.text(attachment.type, size: 8)
      entries.text(attachment.name, size: 80)
      file.segment("ZISRAWATTACH", size: Int64(256 + attachment.content.count))
      file.integer(attachment.declaredSize ?? Int64(attachment.content.count))
      file.zeros(248)
      file.bytes += attachment.content
      file.align()
    }
    let position = Int64(file.bytes.count)
    file.segment("ZISRAWATTDIR", size: Int64(256 + entries.bytes.count))
    file.integer(Int32(attachments.count))
    file.zeros(252)
    file.bytes += entries.bytes
    file.align()
    return position
  }

  /// A mosaic of one plane: every tile's pixels come from `pixel`, which gets the file's coordinates and the tile.
  ///
  /// - Parameters:
  ///   - tiles: regions in the file's pixel coordinates, painted in this order.
  ///   - pixel: a Gray8 value.
  public static func mosaic(
    _ tiles: [Region], scene: Int32? = nil, compression: Compression = .zstd1, xml: String? = nil,
    pixel: (_ x: Int, _ y: Int, _ tile: Int) -> UInt8
  ) -> CZIFixture {
    CZIFixture(
      tiles.enumerated().map { index, tile in
        var pixels: [UInt8] = []
        pixels.reserveCapacity(tile.area)
        for y in tile.y..<tile.maxY { for x in tile.x..<tile.maxX { pixels.append(pixel(x, y, index)) } }
        var block = SubBlock(tile, ["C": 0, "M": Int32(index)], compression: compression, pixels: pixels)
        if let scene { block.dimensions.append(Dimension("S", scene)) }
        return block
      }, xml: xml)
  }
}

private struct ByteWriter {
  var bytes: [UInt8] = []

  mutating func integer(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
  }

  mutating func zeros(_ count: Int) { bytes += repeatElement(0, count: count) }

  mutating func text(_ text: String, size: Int) {
    bytes += text.utf8.prefix(size)
    zeros(max(0, size - text.utf8.count))
  }

  /// Segments stand at multiples of 32 bytes.
  mutating func align() { zeros((32 - bytes.count % 32) % 32) }

  mutating func segment(_ id: String, size: Int64) {
    text(id, size: 16)
    integer(size)
    integer(size)
  }

  mutating func entry(_ block: CZIFixture.SubBlock, position: Int64) {
    text(block.schema, size: 2)
    integer(block.pixelType)
    integer(position)
    integer(block.filePart)
    integer(block.compression)
    zeros(6)
    integer(Int32(block.dimensions.count))
    for dimension in block.dimensions {
      text(dimension.name, size: 4)
      integer(dimension.start)
      integer(dimension.size)
      integer(Float32(dimension.start).bitPattern)
      integer(dimension.storedSize)
    }
  }
}
