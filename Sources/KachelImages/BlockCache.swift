// SPDX-License-Identifier: Apache-2.0
private import Synchronization

/// Keeps the most recently used decoded blocks up to a number of bytes, for many threads.
package final class BlockCache: Sendable {
  /// A node of the list from the most to the least recently used, by index into `slots`; -1 ends it.
  fileprivate struct Slot {
    var key: Int
    var bytes: [UInt8]
    var newer: Int
    var older: Int
  }

  fileprivate struct State {
    var slots: [Slot] = []
    var free: [Int] = []
    var places: [Int: Int] = [:]
    var newest = -1
    var oldest = -1
    var byteCount = 0
  }

  /// A lock that is held while a block is decoded.
  private final class Turn: Sendable { let lock = Mutex(()) }

  /// How many bytes of blocks are kept at most.
  package let limit: Int
  private let state = Mutex(State())
  private let turns = (0..<64).map { _ in Turn() }

  package init(limit: Int) { self.limit = max(0, limit) }

  /// The bytes that are kept now.
  package var byteCount: Int { state.withLock { $0.byteCount } }

  /// The block of that key, decoded by `decode` where it is not kept. Threads that want the same block wait for the
  /// first. A block larger than the limit is returned and not kept, and so is an empty one, which costs nothing.
  ///
  /// - Parameter isKept: whether a block that is decoded shall be kept, see ``keepsBlock(inside:of:)``.
  package func block(
    _ key: some BinaryInteger, isKept: Bool = true, decode: () throws(ImageError) -> [UInt8]
  ) throws(ImageError) -> [UInt8] {
    if let bytes = kept(Int(key)) { return bytes }
    return isKept ? try block(number: Int(key), decode: decode) : try decode()
  }

  /// Whether a block of a region that is read is worth keeping.
  ///
  /// A region of more than an eighth of the cache is no part that will be asked for again soon: each block that lies
  /// wholly inside would only push out others, and to get new memory for it can take longer than to decode it.
  ///
  /// - Parameters:
  ///   - isInside: whether the region has all pixels of the block.
  ///   - byteCount: of the region.
  package func keepsBlock(inside isInside: Bool, of byteCount: Int) -> Bool { !isInside || byteCount <= limit / 8 }

  private func block(number key: Int, decode: () throws(ImageError) -> [UInt8]) throws(ImageError) -> [UInt8] {
    var result: Result<[UInt8], ImageError> = .success([])
    turns[Int(UInt(bitPattern: key) % 64)].lock.withLock { _ in
      if let bytes = kept(key) {
        result = .success(bytes)
        return
      }
      do throws(ImageError) {
        let bytes = try decode()
        keep(bytes, key)
        result = .success(bytes)
      } catch {
        result = .failure(error)
      }
    }
    return try result.get()
  }

  private func kept(_ key: Int) -> [UInt8]? {
    state.withLock { state -> [UInt8]? in
      guard let place = state.places[key] else { return nil }
      state.unlink(place)
      state.linkNewest(place)
      return state.slots[place].bytes
    }
  }

  private func keep(_ bytes: [UInt8], _ key: Int) {
    guard !bytes.isEmpty, bytes.count <= limit else { return }
    state.withLock { state in
      guard state.places[key] == nil else { return }
      while state.byteCount > limit - bytes.count, state.oldest >= 0 { state.dropOldest() }
      state.insert(bytes, key)
    }
  }
}

extension BlockCache.State {
  fileprivate mutating func unlink(_ place: Int) {
    let (newer, older) = (slots[place].newer, slots[place].older)
    if newer >= 0 { slots[newer].older = older } else { newest = older }
    if older >= 0 { slots[older].newer = newer } else { oldest = newer }
  }

  fileprivate mutating func linkNewest(_ place: Int) {
    (slots[place].newer, slots[place].older) = (-1, newest)
    if newest >= 0 { slots[newest].newer = place } else { oldest = place }
    newest = place
  }

  fileprivate mutating func dropOldest() {
    let place = oldest
    unlink(place)
    places[slots[place].key] = nil
    byteCount -= slots[place].bytes.count
    slots[place].bytes = []
    free.append(place)
  }

  fileprivate mutating func insert(_ bytes: [UInt8], _ key: Int) {
    let slot = BlockCache.Slot(key: key, bytes: bytes, newer: -1, older: -1)
    let place: Int
    if let empty = free.popLast() {
      place = empty
      slots[place] = slot
    } else {
      place = slots.count
      slots.append(slot)
    }
    places[key] = place
    byteCount += bytes.count
    linkNewest(place)
  }
}
