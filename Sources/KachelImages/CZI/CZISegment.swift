// SPDX-License-Identifier: Apache-2.0
package import KachelBytes

/// A CZI file is a sequence of segments: 32 bytes of header (name, allocated size, used size), then a payload.
///
/// The layout is that of the libCZI documentation; all numbers are little-endian, positions count from the file's
/// start.
package struct CZISegment: Sendable {
  package static let headerSize = 32

  /// Where the payload starts in the file.
  package let payload: Int
  /// The payload's size as the header says, never negative, possibly beyond the file's end.
  package let allocatedSize: Int

  /// Reads the header at `position`, which must name the segment `id`.
  package init(_ id: String, at position: Int64, of source: ByteSource) throws(ImageError) {
    guard position >= 0 else {
      throw ImageError(.damaged, file: source.path, "a segment \(id) should stand at byte \(position), before the file")
    }
    guard position <= Int64(source.count - Self.headerSize) else {
      throw ImageError(
        .damaged, file: source.path, offset: Int(clamping: position),
        "the file has \(source.count) bytes, but a segment \(id) should stand here; it is incomplete or damaged")
    }
    let position = Int(position)
    let (found, size) = try ImageError.wrapping { () throws(BytesError) in
      var reader = ByteReader(
        try source.read(at: position, count: Self.headerSize), file: source.path, offset: position)
      return (try reader.text(16), try reader.int64())
    }
    guard found == id else {
      throw ImageError(
        .damaged, file: source.path, offset: position, "a segment \(id) should stand here, but it is \"\(found)\"")
    }
    guard size >= 0, size <= Int64.max / 2 else {
      throw ImageError(.damaged, file: source.path, offset: position, "the segment \(id) has the size \(size)")
    }
    payload = position + Self.headerSize
    allocatedSize = Int(size)
  }
}

/// The segment ZISRAWFILE at the start of every CZI file.
package struct CZIHeader: Sendable {
  /// The bytes that begin every CZI file.
  package static let signature = Array("ZISRAWFILE".utf8)

  /// Where the directory of sub-blocks stands.
  package let directoryPosition: Int64
  /// Where the metadata stands; 0 where there is none.
  package let metadataPosition: Int64
  /// Where the list of attachments stands; 0 where there is none.
  package let attachmentPosition: Int64
  /// Whether a program that changed the file has not come to the end of that.
  package let isUpdatePending: Bool

  package init(_ source: ByteSource) throws(ImageError) {
    let segment = try CZISegment("ZISRAWFILE", at: 0, of: source)
    let (major, part, directory, metadata, pending, attachments) = try ImageError.wrapping { () throws(BytesError) in
      var reader = ByteReader(
        try source.read(at: segment.payload, count: 80), file: source.path, offset: segment.payload)
      let major = try reader.int32()
      try reader.seek(to: 48)
      let (part, directory, metadata) = (try reader.int32(), try reader.int64(), try reader.int64())
      return (major, part, directory, metadata, try reader.int32(), try reader.int64())
    }
    guard major == 1 else {
      throw ImageError(.unsupported, file: source.path, offset: 32, "CZI version \(major) is not read, only version 1")
    }
    guard part == 0 else {
      throw ImageError(
        .unsupported, file: source.path, offset: segment.payload + 48,
        "this is part \(part) of a CZI image of several files, which is not read; save it as one file in ZEN")
    }
    guard directory != 0 else {
      throw ImageError(
        .damaged, file: source.path, offset: segment.payload + 52,
        "the file has no directory: it was not completely written; open it in ZEN and save it again")
    }
    directoryPosition = directory
    metadataPosition = metadata
    attachmentPosition = attachments
    isUpdatePending = pending != 0
  }
}
