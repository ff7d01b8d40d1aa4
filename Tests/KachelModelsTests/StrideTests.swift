// SPDX-License-Identifier: Apache-2.0
import KachelModels
import KachelTesting
import Testing

/// What the graph of every package of the reference data says, by its architecture. The receptive fields of those without
/// statistics are confirmed by running them; see ``InfluenceTests``.
@Suite struct StrideTests {
  struct Expected: Sendable, CustomTestStringConvertible {
    var path: String
    var stride: Int?
    var field: Int?
    var border: Int?
    /// Two for each weight, divided by the area for which one of the outputs stands.
    var flops: Double?
    var exactness = "exact"
    var global: [String: Int] = [:]
    var testDescription: String { path }
  }

  static let table: [Expected] = [
    // Two convolutions after a standardisation of the whole input: mean, and mean square deviation (with its own mean).
    Expected(
      path: "models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel", stride: 1, field: 1, border: 1, flops: 352,
      exactness: "exact with statistics", global: ["Mean": 3]),
    Expected(
      path: "models/tf/seed_nuclei/model_from_json/simple_nuclei_segmodel_from_json.czmodel", stride: 1, field: 1,
      border: 1, flops: 352, exactness: "exact with statistics", global: ["Mean": 3]),
    Expected(
      path: "models/tf/seed_nuclei/model_from_json_no_dims/simple_nuclei_segmodel_from_json.czmodel", stride: 1,
      field: 1, border: 1, flops: 352, exactness: "exact with statistics", global: ["Mean": 3]),
    Expected(
      path: "models/tf/v120/seed_onnx12.czmodel", stride: 1, field: 1, border: 1, flops: 352,
      exactness: "exact with statistics", global: ["ReduceMean": 2]),
    Expected(
      path: "models/tf/v120/seed_onnx12_dynamic.czmodel", stride: 1, field: 1, border: 1, flops: 352,
      exactness: "exact with statistics", global: ["ReduceMean": 2]),
    Expected(
      path: "models/tf/v120/seed_savedmodel_fallback_310.czmodel", stride: 1, field: 1, border: 1, flops: 352,
      exactness: "exact with statistics", global: ["Mean": 3]),
    // U-Nets with two poolings: transposed convolutions of 2 and of 3, upsampling to the nearest.
    Expected(
      path: "models/tf/unet_rgb/unet_rgb.czmodel", stride: 4, field: 24, border: 24, flops: 50368),
    Expected(
      path: "models/tf/v120/unet_onnx12.czmodel", stride: 4, field: 24, border: 24, flops: 50368),
    Expected(
      path: "models/tf/v510/unet_transposechannels.czann", stride: 4, field: 24, border: 24, flops: 50368),
    Expected(
      path: "models/tf/oad_unet/oad_unet.czmodel", stride: 4, field: 23, border: 24, flops: 3544,
      exactness: "exact with statistics", global: ["Mean": 3]),
    Expected(
      path: "models/torch/torch_unet_nuclei.czann", stride: 4, field: 23, border: 24, flops: 12208),
    Expected(
      path: "models/torch/torch_legacy.czmodel", stride: 4, field: 23, border: 24, flops: 12208),
    Expected(
      path: "models/zenstyle/zen_style_320.czseg", stride: 4, field: 23, border: 24, flops: 12208),
    // Convolutions at full resolution.
    Expected(
      path: "models/tf/normalization/DNNModel.czmodel", stride: 1, field: 3, border: 3, flops: 576),
    Expected(
      path: "models/tf/v510/nuclei_seg.czann", stride: 1, field: 3, border: 3, flops: 576),
    Expected(
      path: "models/tf/v510/nuclei_legacy.czmodel", stride: 1, field: 3, border: 3, flops: 576),
    Expected(
      path: "models/torch/torch_from_json.czann", stride: 1, field: 1, border: 1, flops: 928),
    Expected(
      path: "models/oad/simple_pytorch_nuclei_segmodel_pytorch.czann", stride: 1, field: 1, border: 1, flops: 352),
    Expected(
      path: "models/sebi06/simple_nuclei_segmodel.czann", stride: 1, field: 1, border: 1, flops: 352),
    Expected(
      path: "models/negative/lost_weights_613.czann", stride: 1, field: 1, border: 1, flops: 352),
    // One mean pooling and one upsampling; two maximum poolings and two upsamplings.
    Expected(
      path: "models/tf/v510/regression.czann", stride: 2, field: 4, border: 4, flops: 288),
    Expected(
      path: "models/sebi06/simple_regmodel.czann", stride: 4, field: 16, border: 16, flops: 3168),
    Expected(
      path: "models/sebi06/simple_regmodel_out5.czann", stride: 4, field: 16, border: 16, flops: 3168),
    // The image goes through the body of a loop, which is not followed.
    Expected(
      path: "models/sebi06/N2V_tobacco_leaf.czann", stride: nil, exactness: "canonical", global: ["Loop": 2]),
    Expected(
      path: "models/sebi06/N2V_tobacco_leaf_Whitened.czann", stride: nil, exactness: "canonical", global: ["Loop": 2]),
    // Five strides of 2, and squeeze-and-excitation in every block.
    Expected(
      path: "models_large/PGC_20X_nucleus_detector.czseg", stride: 32, flops: 30_101.1875, exactness: "canonical",
      global: ["GlobalAveragePool": 16]),
    // Three poolings; with transposed convolutions cropped and padded to computed sizes in the second.
    Expected(
      path: "example/nuclei.czmodel", stride: 8, field: 51, border: 48, flops: 39576),
    Expected(
      path: "example/nuclei.czann", stride: 8, field: 51, border: 48, flops: 39576),
  ]

  @Test func noPackageIsForgotten() {
    let classical = "models/oad/XRM_Sandstone_Default_Features_Demo.czmodel"
    #expect(Set(GoldenPackage.everyPath) == Set(Self.table.map(\.path) + [classical]))
  }

  @Test(arguments: table) func stride(expected: Expected) throws {
    let facts = try ModelPackage(at: SharedData.path(expected.path)).graphFacts()
    #expect(facts.stride == expected.stride.map { AxisPair(y: $0, x: $0) })
    #expect(facts.globalOperations == expected.global)
    #expect(facts.receptiveField == expected.field.map { AxisPair(y: $0, x: $0) })
    #expect(facts.neededBorder == expected.border.map { AxisPair(y: $0, x: $0) })
    #expect(facts.flopsPerPixel == expected.flops)
    #expect(facts.exactness.name == expected.exactness)
    // The reason names an operation, one of those that see everything.
    let reason = facts.exactness.reason
    #expect(reason == nil ? expected.global.isEmpty : expected.global.keys.contains { reason!.contains("\($0) (") })
    #expect(facts.inputStatistics.isEmpty == (expected.exactness != "exact with statistics"))
  }

  @Test(arguments: [
    ("models_large/PGC_20X_nucleus_detector.czseg", 4_987_504), ("models/sebi06/N2V_tobacco_leaf.czann", 185_035),
    ("models/tf/seed_nuclei/simple_nuclei_segmodel.czmodel", 3 * 3 * 16 + 16 + 16 * 2 + 2),
    ("models/oad/simple_pytorch_nuclei_segmodel_pytorch.czann", 3 * 3 * 16 + 16 + 16 * 2 + 2),
  ])
  func parameters(path: String, count: Int) throws {
    #expect(try ModelPackage(at: SharedData.path(path)).graphFacts().parameterCount == count)
  }
}
