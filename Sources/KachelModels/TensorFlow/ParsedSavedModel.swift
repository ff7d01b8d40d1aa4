// SPDX-License-Identifier: Apache-2.0
private import Synchronization

/// A SavedModel's graph once it is parsed, so that all who look at it need not parse it again.
final class ParsedSavedModel: Sendable {
  /// A graph of more bytes is not kept: its weights are in it.
  private static let mostBytes = 16 << 20

  private let known: Mutex<TF_SavedModel?>

  init() { known = Mutex(nil) }

  /// - Parameter size: of the file, in bytes.
  init(_ model: TF_SavedModel, size: Int) { known = Mutex(size <= Self.mostBytes ? model : nil) }

  /// - Parameter parse: called where it is not known.
  func model(
    size: Int, _ parse: () throws(ModelError) -> TF_SavedModel
  ) throws(ModelError) -> TF_SavedModel {
    if let model = known.withLock({ $0 }) { return model }
    let model = try parse()
    if size <= Self.mostBytes { known.withLock { $0 = model } }
    return model
  }
}
