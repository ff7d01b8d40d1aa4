// SPDX-License-Identifier: Apache-2.0
private import Foundation

/// The memory that programs may still take on this machine, in bytes.
enum MachineMemory {
  /// What is free or can be freed at once, and no more than the group of processes may take that this one is in, as in a
  /// container or a cluster's job; the machine's memory where the system does not tell.
  static var free: Int {
    let files = ["meminfo": "/proc/meminfo", "groups": "/proc/self/cgroup"].compactMapValues(text)
    return free(meminfo: files["meminfo"], groups: files["groups"]) { text("/sys/fs/cgroup/" + $0) }
      ?? Int(clamping: ProcessInfo.processInfo.physicalMemory)
  }

  /// - Parameters:
  ///   - meminfo: the kernel's account of the machine, with a line `MemAvailable: 1234 kB`.
  ///   - groups: the groups that the process is in, a line `number:controllers:/path` each.
  ///   - read: a file below the folder of all groups.
  static func free(meminfo: String?, groups: String?, read: (String) -> String?) -> Int? {
    let line = meminfo?.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
    var bytes = line.flatMap { $0.split(separator: " ").dropFirst().first }.flatMap { Int($0) }.map { $0 << 10 }
    for group in groups?.split(separator: "\n") ?? [] {
      let parts = group.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      // The second version of groups has one hierarchy, with no controllers in its line; the first has one for memory.
      let isSecond = parts[1].isEmpty
      guard isSecond || parts[1].split(separator: ",").contains("memory") else { continue }
      let names =
        isSecond ? ("", "memory.max", "memory.current") : ("memory/", "memory.limit_in_bytes", "memory.usage_in_bytes")
      // The limits of all groups above count too. In a container, its own group is seen as the topmost.
      var path = parts[2].split(separator: "/").map(String.init)
      while true {
        let folder = names.0 + path.map { $0 + "/" }.joined()
        if let limit = number(read(folder + names.1)), let used = number(read(folder + names.2)) {
          // What was read of files lately counts as used, but gives way.
          bytes = min(bytes ?? .max, max(0, limit - max(0, used - inactiveFileBytes(read(folder + "memory.stat")))))
        }
        if path.popLast() == nil { break }
      }
    }
    return bytes
  }

  private static func inactiveFileBytes(_ statistics: String?) -> Int {
    let line = statistics?.split(separator: "\n").last {
      $0.hasPrefix("inactive_file ") || $0.hasPrefix("total_inactive_file ")
    }
    return line.flatMap { $0.split(separator: " ").last }.flatMap { Int($0) } ?? 0
  }

  /// `nil` where there is no limit, which is the word `max`.
  private static func number(_ text: String?) -> Int? {
    text.flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
  }

  private static func text(_ path: String) -> String? {
    // Read as it comes: a file of the kernel has no size that could be asked for first.
    guard let file = FileHandle(forReadingAtPath: path), let data = try? file.readToEnd() else { return nil }
    return String(decoding: data, as: UTF8.self)
  }
}
