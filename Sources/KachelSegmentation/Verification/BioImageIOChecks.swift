// SPDX-License-Identifier: Apache-2.0
import KachelEngines
import KachelModels
import KachelPixels

/// Checks that run a bioimage.io package: on its own test tensors, and tile against tile.
struct BioImageIOChecks {
  let package: BioImageIOPackage
  let weights: BioImageIOPackage.Weights
  let facts: GraphFacts
  let network: any Network
  let threads: Int

  func run() -> [Check] {
    guard package.inputs.count == 1, package.outputs.count == 1 else {
      return [
        Check(
          "test tensors", .skipped,
          "the model has \(package.inputs.count) inputs and \(package.outputs.count) outputs; those with one are run")
      ]
    }
    let input = package.inputs[0], output = package.outputs[0]
    let isChannelsFirst = package.isChannelsFirst
    let probe = NetworkProbe(network, isChannelsFirst: isChannelsFirst, channels: 1, threads: threads)
    var prepared: NumberTensor
    do throws(ModelError) { prepared = try package.testTensor(of: input) } catch {
      return [Check("test tensors", .failed, error.reason)]
    }
    var checks: [Check] = []
    do {
      for operation in input.operations { try operation.apply(to: &prepared, axes: input.axes.map(\.id)) }
      checks.append(try testTensors(probe, prepared, output))
    } catch let error as BioImageIOOperation.Failure {
      return [Check("test tensors", .skipped, error.reason)]
    } catch {
      return [Check("test tensors", .failed, "the network cannot be run on the test tensor: \(error)")]
    }
    guard isChannelsFirst || package.isChannelsLast, let halo = package.halo, prepared.shape.count == 4,
      prepared.shape[0] > 0
    else { return checks + [Check("border needed", .skipped, "only models of 2-D images are tiled")] }
    return checks
      + RunningChecks(
        probe: probe, kind: nil, border: Size(halo), needed: facts.neededBorder.map { Size($0) },
        stride: facts.tileStride,
        globalOperations: facts.globalOperations,
        picture: NetworkProbe.picture(prepared, isChannelsFirst: isChannelsFirst), pictureName: "the test tensor",
        otherRange: nil
      ).run()
  }

  /// What the network gives for its test tensor against what it gave when it was published.
  private func testTensors(
    _ probe: NetworkProbe, _ prepared: NumberTensor, _ output: BioImageIOPackage.Tensor
  ) throws -> Check {
    let expected = try package.testTensor(of: output)
    let raw = try probe.run(prepared.values, shape: prepared.shape)
    var result = NumberTensor(shape: raw.shape, values: raw.values)
    for operation in output.operations { try operation.apply(to: &result, axes: output.axes.map(\.id)) }
    guard result.shape == expected.shape else {
      return Check(
        "test tensors", .failed, "the network gives \(result.shape), but the test output is \(expected.shape)")
    }
    let tolerance = package.tolerance(of: output, weights: weights)
    let comparison = tolerance.compare(result.values, expected.values)
    let text = "the network's output differs from the published one by up to \(comparison.largest.short)"
    guard comparison.mismatchesPerMillion <= tolerance.mismatchesPerMillion else {
      return Check(
        "test tensors", .failed,
        text + "; \(Int(comparison.mismatchesPerMillion)) of a million elements are out of tolerance, "
          + "\(Int(tolerance.mismatchesPerMillion)) are allowed: these weights are not the ones that were published")
    }
    return Check("test tensors", .passed, text)
  }
}

extension BioImageIOPackage.Tolerance {
  /// How far results are from what is expected, and how many of a million are too far.
  func compare(_ result: [Float], _ expected: [Float]) -> (largest: Float, mismatchesPerMillion: Double) {
    var (largest, mismatches) = (Float(0), 0)
    for (own, wanted) in zip(result, expected) {
      let difference = abs(own - wanted)
      if !(Double(difference) <= absolute + relative * Double(abs(wanted))) { mismatches += 1 }
      largest = difference.isNaN ? .infinity : max(largest, difference)
    }
    return (largest, Double(mismatches) * 1e6 / Double(max(1, expected.count)))
  }
}

extension NetworkProbe {
  /// The first image of a batch.
  static func picture(_ tensor: NumberTensor, isChannelsFirst: Bool) -> Picture {
    let shape = tensor.shape
    let (height, width, channels) = isChannelsFirst ? (shape[2], shape[3], shape[1]) : (shape[1], shape[2], shape[3])
    let values = Array(tensor.values.prefix(height * width * channels))
    return Picture(
      height: height, width: width, channels: channels,
      values: isChannelsFirst ? planes(values, channels: height * width) : values)
  }
}
