// SPDX-License-Identifier: Apache-2.0

/// One of an engine's objects, released with the value.
///
/// `@unchecked Sendable`: the engines' objects may be used and released on any thread. Only an OpenVINO request must not
/// be used by two at a time, which is up to its owner.
struct EngineHandle: ~Copyable, @unchecked Sendable {
  let pointer: OpaquePointer
  let release: @convention(c) (OpaquePointer) -> Void

  deinit { release(pointer) }
}
