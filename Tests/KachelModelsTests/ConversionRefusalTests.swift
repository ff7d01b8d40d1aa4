// SPDX-License-Identifier: Apache-2.0
@testable import KachelModels
import KachelTesting
import SwiftProtobuf
import Testing

/// What is not converted is named; what is damaged does no harm.
@Suite struct ConversionRefusalTests {
  @Test(arguments: [
    ("Cumsum", ["x", "axis"]), ("Conv2DBackpropFilter", ["x", "axis", "x"]), ("Conv3D", ["x", "x"]), ("While", ["x"]),
    ("ImageProjectiveTransformV3", ["x", "axis"]), ("SomethingNew", []),
  ]) func operationsThatAreNotTranslated(kind: String, inputs: [String]) throws {
    var fixture = SavedModelFixture()
    let axis = fixture.integer(1)
    let node = fixture.add(kind, inputs.map { $0 == "axis" ? axis : $0 })
    let output = fixture.add("Relu", [node])
    let error = try #require(try fixture.refusal(output: output))
    #expect(error.kind == .unsupported)
    #expect(error.reason.contains(kind) && error.reason.contains(node))
    #expect(error.reason.contains("SavedModel"))
    #expect(error.file == "fixture.czmodel" && error.member == "id.model")
  }

  /// Checks and training do not stand in the way: no output needs them.
  @Test func nodesThatNoOutputNeeds() throws {
    var fixture = SavedModelFixture()
    let check = fixture.add("Assert", ["x"])
    fixture.add("Cumsum", ["x"])
    let output = fixture.add("Relu", ["x", "^" + check])
    #expect(try fixture.refusal(output: output) == nil)
  }

  @Test func transposedConvolutionsOfOtherSizes() throws {
    for (size, isRight) in [
      ([1, 18, 14, 3], true), ([1, 17, 13, 3], true), ([1, 19, 14, 3], false), ([1, 16, 14, 3], false),
    ] {
      var fixture = SavedModelFixture(input: [1, 9, 7, 2])
      let inputs = [fixture.integers(size), fixture.weights([3, 3, 3, 2]), "x"]
      let output = fixture.add(
        "Conv2DBackpropInput", inputs, ["padding": .text("SAME"), "strides": .ints([1, 2, 2, 1])])
      let error = try fixture.refusal(output: output)
      #expect((error == nil) == isRight)
      if !isRight { #expect(error?.kind == .unsupported && error?.reason.contains(output) == true) }
    }
    // A size that does not come from the input.
    var fixture = SavedModelFixture()
    let inputs = [fixture.integers([1, 18, 14, 3]), fixture.weights([3, 3, 3, 2]), "x"]
    let output = fixture.add(
      "Conv2DBackpropInput", inputs, ["padding": .text("SAME"), "strides": .ints([1, 2, 2, 1])])
    #expect(try fixture.refusal(output: output)?.reason.contains("Conv2DBackpropInput") == true)
  }

  @Test func loops() throws {
    var fixture = SavedModelFixture()
    let first = fixture.add("AddV2", ["x", "later"])
    let later = fixture.add("Relu", [first])
    fixture.nodes[fixture.nodes.count - 1].name = "later"
    #expect(later != "later")
    #expect(try fixture.refusal(output: "later")?.reason.contains("loop") == true)
  }

  @Test func functionsThatCallThemselves() throws {
    var fixture = SavedModelFixture()
    let call: (String, String) -> TF_FunctionDef = { name, other in
      .with {
        $0.signature.name = name
        $0.signature.inputArg = [.with { $0.name = "a" }]
        $0.signature.outputArg = [.with { $0.name = "b" }]
        $0.nodeDef = ["first", "second"].map { node in
          .with {
            $0.name = node
            $0.op = "PartitionedCall"
            $0.input = [node == "first" ? "a" : "first:output:0"]
            $0.attr = ["f": .with { $0.func.name = other }]
          }
        }
        $0.ret = ["b": "second:output:0"]
      }
    }
    fixture.functions = [call("one", "one")]
    let output = fixture.add("PartitionedCall", ["x"], ["f": .function("one")])
    #expect(try fixture.refusal(output: output)?.reason.contains("too deeply") == true)

    // Each level calls the next one twice.
    fixture.functions = (0..<30).map { call($0 == 0 ? "one" : "f\($0)", "f\($0 + 1)") }
    fixture.functions.append(
      .with {
        $0.signature.name = "f30"
        $0.signature.inputArg = [.with { $0.name = "a" }]
        $0.signature.outputArg = [.with { $0.name = "b" }]
        $0.ret = ["b": "a"]
      })
    #expect(try fixture.refusal(output: output)?.reason.contains("too large") == true)

    fixture.functions = []
    #expect(try fixture.refusal(output: output)?.kind == .damaged)
  }

  @Test func aLongChain() throws {
    var fixture = SavedModelFixture()
    var last = "x"
    for _ in 0..<10_000 { last = fixture.add("Relu", [last]) }
    #expect(try fixture.refusal(output: last) == nil)
  }

  @Test func constantsThatAreTooLarge() throws {
    var fixture = SavedModelFixture()
    let constant = fixture.float(1)
    fixture.nodes[fixture.nodes.count - 1].attr["value"]?.tensor.tensorShape = SavedModelFixture.shape([1 << 30])
    let output = fixture.add("AddV2", ["x", constant])
    #expect(try fixture.refusal(output: output)?.kind == .damaged)
  }

  @Test func otherVersions() throws {
    var fixture = SavedModelFixture()
    let output = fixture.add("Relu")
    #expect(throws: ModelError.self) { try SavedModelToONNX(fixture.files(output: output), opset: 13).convert() }
  }

  /// Whatever a graph says, it is converted or refused, and nothing else happens.
  @Test func graphsThatAreDamaged() throws {
    var fixture = SavedModelFixture()
    var last = OperationTranslationTests.windows[7].build(&fixture)
    for test in OperationTranslationTests.movements.prefix(8) {
      last = fixture.add("Mul", [last, test.build(&fixture)])
    }
    let bytes = try fixture.bytes(output: last)
    for damaged in Mutations(of: bytes, count: 400, seed: 4) {
      let zip = ZipFixture([ZipFixture.Member("saved_model.pb", damaged)]).bytes
      let files = try SavedModelFiles(zip: zip, file: "f", member: "m")
      do {
        _ = try SavedModelToONNX(files).convert()
      } catch {
        #expect(error.kind == .damaged || error.kind == .unsupported)
      }
    }
  }
}
