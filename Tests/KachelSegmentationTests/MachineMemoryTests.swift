// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import KachelSegmentation

@Suite struct MachineMemoryTests {
  let meminfo = "MemTotal:  4000 kB\nMemFree:  100 kB\nMemAvailable:    2000 kB\n"

  @Test func theMachineTells() {
    #expect(MachineMemory.free(meminfo: meminfo, groups: nil) { _ in nil } == 2000 << 10)
    #expect(MachineMemory.free(meminfo: "MemTotal: 5 kB\n", groups: "0::/\n") { _ in nil } == nil)
    #expect(MachineMemory.free > 1 << 20)
  }

  /// The lowest limit of a group and of those above it.
  @Test(arguments: [
    (
      ["a/b/memory.max": "max", "a/b/memory.current": "5", "a/memory.max": "900000", "a/memory.current": "100000"],
      800_000
    ),
    (
      ["a/b/memory.max": "700000\n", "a/b/memory.current": "600000\n", "memory.max": "800000", "memory.current": "1"],
      100_000
    ),
    (["a/b/memory.max": "5", "a/b/memory.current": "600000"], 0), (["a/b/memory.max": "5"], 2000 << 10),
    (["memory/a/b/memory.limit_in_bytes": "5", "memory/a/b/memory.usage_in_bytes": "1"], 2000 << 10),
  ]) func groupsHaveLimits(files: [String: String], free: Int) {
    #expect(MachineMemory.free(meminfo: meminfo, groups: "0::/a/b\n") { files[$0] } == free)
  }

  @Test func theFirstVersionOfGroups() {
    var files = ["memory/job/memory.limit_in_bytes": "300000", "memory/job/memory.usage_in_bytes": "100000"]
    let groups = "5:cpu,cpuacct:/x\n4:memory:/job\nnonsense\n"
    #expect(MachineMemory.free(meminfo: meminfo, groups: groups) { files[$0] } == 200_000)
    files["memory/job/memory.stat"] = "cache 90000\ninactive_file 1\ntotal_inactive_file 80000\n"
    #expect(MachineMemory.free(meminfo: meminfo, groups: groups) { files[$0] } == 280_000)
  }
}
