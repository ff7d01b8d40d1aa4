// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import Foundation
import KachelBytes
import KachelTesting
import Testing

/// The file of variables beside a SavedModel's graph.
@Suite struct VariableBundleTests {
  private static let one = "models/tf/seed_nuclei/saved_tf2_model_output_dims_unset"
  private static let two = "models/tf/seed_nuclei/saved_model_two_shards"
  private static let kernel = "layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"

  private func files(_ name: String) throws -> SavedModelFiles { try SavedModelFiles(folder: SharedData.path(name)) }

  @Test func variables() throws {
    let bundle = try VariableBundle(files(Self.one))
    let kernel = try #require(try bundle[Self.kernel])
    #expect(kernel.shape == [3, 3, 1, 16])
    #expect(kernel.type == .float32)
    #expect(try kernel.read().count == 3 * 3 * 16 * 4)
    #expect(try bundle["nothing"] == nil)
    #expect(try bundle.objectGraph()?.nodes.isEmpty == false)
  }

  /// The same network, saved in one file of variables and in two.
  @Test func shards() throws {
    let (one, two) = (try VariableBundle(files(Self.one)), try VariableBundle(files(Self.two)))
    for layer in 0..<2 {
      for part in ["kernel", "bias"] {
        let key = "layer_with_weights-\(layer)/\(part)/.ATTRIBUTES/VARIABLE_VALUE"
        let expected = try #require(try one[key]).read()
        #expect(try #require(try two[key]).read() == expected)
      }
    }
  }

  private func refusal(_ files: SavedModelFiles) -> ModelError? {
    do {
      _ = try SavedModelToONNX(files).convert()
      return nil
    } catch {
      return error
    }
  }

  @Test func valuesThatAreDamaged() throws {
    let data = "variables/variables.data-00000-of-00001"
    let original = try files(Self.one)
    #expect(refusal(original) == nil)
    let bundle = try VariableBundle(original)
    let kernel = try #require(try bundle[Self.kernel]).read()
    var bytes = try original.read(data, limit: .max)
    let place = try #require(
      bytes.indices.first { Array(bytes[$0...].prefix(kernel.count)) == kernel })
    bytes[place + 5] ^= 1
    let error = try #require(refusal(original.replacing(data, with: bytes)))
    #expect(error.kind == .damaged)
    #expect(error.reason.contains(Self.kernel) && error.reason.contains("checksum"))
    let short = try #require(refusal(original.replacing(data, with: Array(bytes.prefix(100)))))
    #expect(short.kind == .damaged && short.reason.contains("cut off"))
  }

  @Test func anIndexThatIsDamaged() throws {
    let original = try files(Self.two)
    let index = try original.read(SavedModelFiles.indexName, limit: .max)
    // Every block has a checksum, and the places of blocks in the footer have none.
    for bytes in Mutations(of: index, count: 80, seed: 11) where bytes != index {
      if let error = refusal(original.replacing(SavedModelFiles.indexName, with: bytes)) {
        #expect(error.kind == .damaged)
      }
    }
    for count in [0, 1, 47, 48, index.count - 1] {
      let error = refusal(original.replacing(SavedModelFiles.indexName, with: Array(index.prefix(count))))
      #expect(error?.kind == .damaged)
    }
  }

  @Test func packagesWithoutVariables() throws {
    guard case .savedModel(let files) = try ModelPackage(at: SharedData.path("example/nuclei.czmodel")).graph else {
      throw CocoaError(.fileReadUnknown)
    }
    let zip = ZipFixture([ZipFixture.Member("saved_model.pb", try files.graphBytes())]).bytes
    let error = try #require(refusal(SavedModelFiles(zip: zip, file: "a.czmodel", member: "id.model")))
    #expect(error.kind == .damaged)
    #expect(error.file == "a.czmodel" && error.member == "id.model")
    #expect(error.reason.contains("variables.index"))
  }

  /// Parts of a zip are read where they lie, compressed or not.
  @Test func partsOfFiles() throws {
    let content = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    let graph = ZipFixture.Member("model/saved_model.pb", "x")
    let stored = ZipFixture.Member("model/variables/v", content)
    for member in [stored, stored.deflated()] {
      let files = try SavedModelFiles(zip: ZipFixture([graph, member]).bytes, file: "f", member: "m")
      #expect(try files.read("variables/v", at: 10, count: 20) == Array(content[10..<30]))
      #expect(try files.read("variables/v", at: 1000, count: 0) == [])
      #expect(throws: ModelError.self) { try files.read("variables/v", at: 990, count: 11) }
      #expect(throws: ModelError.self) { try files.read("variables/v", at: -1, count: 1) }
      #expect(throws: ModelError.self) { try files.read("variables/w", at: 0, count: 1) }
    }
  }
}
