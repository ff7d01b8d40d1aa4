// SPDX-License-Identifier: Apache-2.0
public import Foundation

#if canImport(Glibc)
  private import Glibc
#endif

/// The files of Zarr arrays seen from outside: whether one was added, removed or written shows without reading any.
///
/// What counts are the array's own metadata and all that can be a chunk or shard, never labels or hidden files beside them.
public struct ChunkFiles: Sendable, Hashable, CustomStringConvertible {
  public private(set) var count = 0
  /// The one that was changed last.
  public private(set) var newest: Newest?
  /// Of the names, sizes and times of change of all files, in whichever order a folder lists them.
  public private(set) var digest: UInt64 = 0

  public struct Newest: Sendable, Hashable {
    /// Relative to the image's folder.
    public var name: String
    public var date: Date
  }

  public var description: String {
    let newest = newest.map { newest in
      ", the newest \(newest.name) of \(newest.date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)))"
    }
    return "\(count) file\(count == 1 ? "" : "s") of digest \(String(digest, radix: 16))\(newest ?? "")"
  }

  /// - Parameters:
  ///   - folders: of the arrays.
  ///   - image: the folder that names begin in.
  /// - Throws: ``ImageError``: `notAnImage` where a folder cannot be read; `CancellationError`.
  init(of folders: [String], in image: String) throws {
    var seen: Set<Place> = []
    for folder in folders {
      let name = folder.hasPrefix(image + "/") ? String(folder.dropFirst(image.count + 1)) : ""
      try add(folder, at: AT_FDCWD, calling: folder, name: name, depth: 0, &seen)
    }
  }

  /// A folder, whatever links lead to it.
  private struct Place: Hashable {
    var device: dev_t
    var number: ino_t
  }

  /// A key has a part for each dimension, and one before them.
  private static let mostParts = ZarrLayout.mostDimensions + 1

  /// Adds the files of a folder and of the folders in it, one after the other, so that memory does not grow with them.
  ///
  /// - Parameters:
  ///   - entry: the folder's name in the open folder `parent`.
  ///   - path: what errors call it.
  ///   - name: what its files' names begin with.
  private mutating func add(
    _ entry: String, at parent: Int32, calling path: String, name: String, depth: Int, _ seen: inout Set<Place>
  ) throws {
    try Task.checkCancellation()
    let descriptor = openat(parent, entry, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0, let folder = fdopendir(descriptor) else {
      let problem = errno
      if descriptor >= 0 { close(descriptor) }
      throw Self.unreadable(path, problem)
    }
    defer { closedir(folder) }
    var status = stat()
    // Links may lead to a folder again and again.
    guard fstat(descriptor, &status) == 0,
      seen.insert(Place(device: status.st_dev, number: status.st_ino)).inserted
    else { return }
    let start = Self.hash(Self.start, "\(name)/".utf8)
    while true {
      errno = 0
      guard let entry = readdir(folder) else {
        // A folder of which only a part is listed must not look like one with fewer files.
        guard errno == 0 else { throw Self.unreadable(path, errno) }
        return
      }
      try withUnsafePointer(to: &entry.pointee.d_name) { letters in
        try letters.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: entry.pointee.d_name)) {
          // What vanishes meanwhile is missing, which shows.
          guard Self.isOfArray($0), fstatat(descriptor, $0, &status, 0) == 0 else { return }
          switch status.st_mode & S_IFMT {
          case S_IFREG: add(status, $0, in: name, start)
          case S_IFDIR where depth < Self.mostParts:
            let own = String(cString: $0)
            try add(
              own, at: descriptor, calling: "\(path)/\(own)", name: name.isEmpty ? own : "\(name)/\(own)",
              depth: depth + 1, &seen)
          default: break
          }
        }
      }
    }
  }

  private static func unreadable(_ path: String, _ problem: Int32) -> ImageError {
    ImageError(.notAnImage, file: path, "the folder cannot be read: \(String(cString: strerror(problem)))")
  }

  private mutating func add(_ status: stat, _ letters: UnsafePointer<CChar>, in folder: String, _ start: UInt64) {
    #if canImport(Darwin)
      let time = status.st_mtimespec
    #else
      let time = status.st_mtim
    #endif
    var hash = Self.hash(start, UnsafeRawBufferPointer(start: letters, count: strlen(letters)))
    for number in [Int(status.st_size), Int(time.tv_sec), Int(time.tv_nsec)] {
      hash = withUnsafeBytes(of: number.littleEndian) { Self.hash(hash, $0) }
    }
    count += 1
    digest &+= Self.mixed(hash)
    let date = Date(timeIntervalSince1970: Double(time.tv_sec) + Double(time.tv_nsec) / 1e9)
    guard newest.map({ $0.date <= date }) ?? true else { return }
    let name = String(cString: letters), file = Newest(name: folder.isEmpty ? name : "\(folder)/\(name)", date: date)
    // Of files of one time always the same, in whichever order a folder lists them.
    if let newest, newest.date == date, newest.name > file.name { return }
    newest = file
  }

  /// Whether a name is that of an array's metadata, or a part of a chunk's key (Zarr core specification 3.0, "Chunk key
  /// encoding"; version 2 has no `c`).
  private static func isOfArray(_ name: UnsafePointer<CChar>) -> Bool {
    if strcmp(name, "zarr.json") == 0 || strcmp(name, ".zarray") == 0 { return true }
    let (dot, digits) = (UInt8(ascii: "."), UInt8(ascii: "0")...UInt8(ascii: "9"))
    let bytes = UnsafeRawBufferPointer(start: name, count: strlen(name))
    guard let first = bytes.first, first == UInt8(ascii: "c") || digits.contains(first) else { return false }
    return bytes.dropFirst().allSatisfy { digits.contains($0) || $0 == dot }
  }

  // MARK: Hashing

  private static let start: UInt64 = 0xCBF2_9CE4_8422_2325

  /// FNV-1a of 64 bits (draft-eastlake-fnv) of bytes after others.
  private static func hash(_ before: UInt64, _ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(before) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  /// Spreads a hash over all bits, so that sums of them tell sets apart (the finisher of SplitMix64).
  private static func mixed(_ hash: UInt64) -> UInt64 {
    var hash = hash
    hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
    hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
    return hash ^ (hash >> 31)
  }
}
