// SPDX-License-Identifier: Apache-2.0
import KachelBytes
import Testing

@Suite struct ScratchTests {
  @Test(arguments: [0, 1, 65535, 65536, 3 << 20, 9 << 20]) func asManyBytesAsWanted(count: Int) {
    Scratch.withBytes(count) { bytes in
      #expect(bytes.count == count)
      bytes.initializeMemory(as: UInt8.self, repeating: 7)
    }
  }

  /// Nobody else writes to what is in use, also of those that use it inside.
  @Test func everyUserHasItsOwn() async {
    await withTaskGroup(of: Bool.self) { group in
      for number in 0..<64 {
        group.addTask {
          let (own, other) = (UInt8(number), UInt8(number + 100))
          return Scratch.withBytes(1000 * number) { outer in
            outer.initializeMemory(as: UInt8.self, repeating: own)
            return Scratch.withBytes(900 * number) { inner in
              inner.initializeMemory(as: UInt8.self, repeating: other)
              return inner.allSatisfy { $0 == other } && outer.allSatisfy { $0 == own }
            }
          }
        }
      }
      for await isUntouched in group { #expect(isUntouched) }
    }
  }
}
