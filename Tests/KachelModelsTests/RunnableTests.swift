// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import KachelTesting
import Testing

/// Which networks are refused before anything is run.
@Suite struct RunnableTests {
  private func refusal(json: String = PackageFixture.json(), model: [UInt8]) -> ModelError? {
    do {
      try PackageFixture.read(PackageFixture.czann(json: json, model: model)).checkRunnable()
      return nil
    } catch {
      return error as? ModelError
    }
  }

  @Test func runnablePackages() throws {
    for path in GoldenPackage.everyPath where !path.contains("XRM") && !path.contains("lost") && !path.contains("out5")
    {
      let package = try ModelPackage(at: SharedData.path(path))
      let facts = try package.checkRunnable()
      #expect(facts == (try package.graphFacts()))
    }
  }

  @Test(arguments: [
    ("models/oad/XRM_Sandstone_Default_Features_Demo.czmodel", ModelError.Kind.unsupported, "classical"),
    ("models/sebi06/simple_regmodel_out5.czann", .mismatch, "declares 5 channels, but the network takes 1"),
    ("models/negative/lost_weights_613.czann", .damaged, "1.0.weight"),
  ])
  func refusedPackages(path: String, kind: ModelError.Kind, reason: String) throws {
    let package = try ModelPackage(at: SharedData.path(path))
    #expect {
      try package.checkRunnable()
    } throws: {
      let error = $0 as? ModelError
      return error?.kind == kind && error?.reason.contains(reason) == true && error?.member == package.graphMember
    }
  }

  @Test func typesAndRanks() throws {
    #expect(try refusal(model: PackageFixture.network()) == nil)
    #expect(try refusal(model: PackageFixture.network(elementType: 10))?.reason.contains("float16") == true)
    #expect(try refusal(model: PackageFixture.network(rank: 5))?.reason.contains("3-D models are not run yet") == true)
    #expect(try refusal(model: PackageFixture.network(rank: 3))?.reason.contains("3 axes") == true)
    #expect(try refusal(model: PackageFixture.network(channels: 3))?.kind == .mismatch)
    #expect(try refusal(model: PackageFixture.network(classes: 3))?.reason.contains("2 classes") == true)
    let fixed = try PackageFixture.network { $0.graph.input[0].type.tensorType.shape.dim[0].dimValue = 4 }
    #expect(refusal(model: fixed)?.reason.contains("batch of 4") == true)
    let smaller = try PackageFixture.network { $0.graph.output[0].type.tensorType.shape.dim[1].dimValue = 32 }
    #expect(refusal(model: smaller)?.reason.contains("height is 32") == true)
    let shapeless = try PackageFixture.network { $0.graph.input[0].type.tensorType.clearShape() }
    #expect(refusal(model: shapeless)?.kind == .unsupported)
  }

  @Test func inputsAndOutputs() throws {
    let inputs = try PackageFixture.network { $0.graph.input.append(NetworkFixture.value("second", [1, 2])) }
    #expect(refusal(model: inputs)?.reason.contains("2 inputs (input, second)") == true)
    let outputs = try PackageFixture.network { $0.graph.output.append(NetworkFixture.value("second", [1, 2])) }
    #expect(refusal(model: outputs)?.reason.contains("2 outputs") == true)
    // Weights that are listed as inputs, as old exporters do, are no inputs.
    let listed = try PackageFixture.network { model in
      model.graph.input.append(NetworkFixture.value(model.graph.initializer[0].name, [2, 1, 3, 3]))
    }
    #expect(refusal(model: listed) == nil)
  }

  @Test func weightsThatAreNotThere() throws {
    let external = try PackageFixture.network { $0.graph.initializer[0].dataLocation = 1 }
    #expect(refusal(model: external)?.kind == .damaged)
    let empty = try PackageFixture.network { $0.graph.initializer[0].floatData = [] }
    #expect(refusal(model: empty)?.reason.contains("weights") == true)
    let short = try PackageFixture.network {
      $0.graph.initializer[0].floatData = []
      $0.graph.initializer[0].rawData = .init(repeating: 0, count: 17)
    }
    #expect(refusal(model: short)?.kind == .damaged)
    let absurd = try PackageFixture.network { $0.graph.initializer[0].dims = [.max, .max] }
    #expect(refusal(model: absurd)?.kind == .damaged)
  }

  @Test(arguments: ModelKind.allCases) func kinds(kind: ModelKind) throws {
    let json = PackageFixture.json(["Type": "\"\(kind.rawValue)\""])
    let runs: [ModelKind] = [.singleClassSemanticSegmentation, .multiClassSemanticSegmentation, .regression]
    #expect((try refusal(json: json, model: PackageFixture.network()) == nil) == runs.contains(kind))
  }

  @Test func colourMadeGrayCountsOnce() throws {
    let parts = ["Channels": "<Channels><Item PixelType=\"Bgr24\"/></Channels>"]
    for channels in [1, 3] {
      let fixture = try PackageFixture.czmodel(
        xml: PackageFixture.xml(parts), model: PackageFixture.network(channels: channels))
      try PackageFixture.read(fixture).checkRunnable()
    }
  }

  @Test func aSavedModelWithoutItsVariables() throws {
    let golden = try #require(GoldenPackage.all.first { $0.savedmodel != nil })
    guard case .savedModel(let archive) = try ModelPackage(at: golden.file).graph else { return }
    let graph = try archive.graphBytes()
    let index = ZipFixture.Member("variables/variables.index", "x")
    let data = (0..<2).map { ZipFixture.Member("variables/variables.data-0000\($0)-of-00002", "x") }
    func missing(_ members: [ZipFixture.Member]) throws -> [String] {
      let zip = ZipFixture([ZipFixture.Member("saved_model.pb", graph)] + members).bytes
      return try PackageFixture.read(PackageFixture.czmodel(model: zip)).graphFacts().missingWeights
    }
    #expect(try missing([index] + data) == [])
    #expect(try missing([]) == ["variables/variables.index"])
    #expect(try missing([index]) == ["variables/variables.data-00000-of-00001"])
    #expect(try missing([index, data[1]]) == ["variables/variables.data-00000-of-00002"])
  }
}
