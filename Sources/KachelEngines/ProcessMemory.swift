// SPDX-License-Identifier: Apache-2.0
private import CKachelEngines

#if canImport(Darwin)
  private import Darwin
#else
  private import Foundation
#endif

/// How much of the machine's memory this process holds, in bytes.
public enum ProcessMemory {
  /// What it holds now; nil where the system does not tell.
  public static var resident: Int? {
    #if canImport(Darwin)
      var info = mach_task_basic_info()
      var count = mach_msg_type_number_t(MemoryLayout<mach_task_basic_info>.size / MemoryLayout<natural_t>.size)
      let status = withUnsafeMutablePointer(to: &info) { pointer in
        pointer.withMemoryRebound(to: integer_t.self, capacity: Int(count)) {
          task_info(mach_task_self_, task_flavor_t(MACH_TASK_BASIC_INFO), $0, &count)
        }
      }
      return status == KERN_SUCCESS ? Int(info.resident_size) : nil
    #else
      return kilobytes("VmRSS:")
    #endif
  }

  /// The most that it has held so far; nil where the system does not tell.
  public static var peak: Int? {
    #if canImport(Darwin)
      var usage = rusage()
      return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : nil
    #else
      return kilobytes("VmHWM:")
    #endif
  }

  /// Lets ``peak`` start anew from what is held now. Returns false where the system cannot do that.
  @discardableResult
  public static func resetPeak() -> Bool {
    #if canImport(Darwin)
      return false
    #else
      guard let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") else { return false }
      // 5 is the kernel's word for it.
      return (try? file.write(contentsOf: [UInt8(ascii: "5")])) != nil
    #endif
  }

  /// Lets what one thread frees be used by all others, where the system's way is to keep it for that thread: a run of two
  /// threads then holds 60 MB less. To be called where a program starts, before it has other threads.
  public static func shareAmongThreads() { kachel_share_freed_memory() }

  #if !canImport(Darwin)
    /// A line of the kernel's account of this process, such as `VmHWM:     31264 kB`.
    private static func kilobytes(_ key: String) -> Int? {
      // Read as it comes: a file of the kernel has no size that could be asked for first.
      guard let file = FileHandle(forReadingAtPath: "/proc/self/status"), let data = try? file.readToEnd() else {
        return nil
      }
      for line in String(decoding: data, as: UTF8.self).split(separator: "\n") where line.hasPrefix(key) {
        return line.dropFirst(key.count).split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) }
          .map { $0 * 1024 }
      }
      return nil
    }
  #endif
}
