// SPDX-License-Identifier: Apache-2.0
internal import KachelEngines
internal import Testing

struct ProcessMemoryTests {
  @Test func memoryThatIsUsedShows() throws {
    let size = 200 << 20
    let before = try #require(ProcessMemory.resident)
    #expect(before > 1 << 20)
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 4096)
    block.initializeMemory(as: UInt8.self, repeating: 1)
    let during = try #require(ProcessMemory.resident)
    let peak = try #require(ProcessMemory.peak)
    #expect(block[size / 2] == 1)
    block.deallocate()
    // Tests beside this one take and give memory too, so the bounds are wide.
    #expect(during > size && peak > size)
    #expect(peak >= before)
  }
}
