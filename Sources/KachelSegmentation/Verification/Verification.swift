// SPDX-License-Identifier: Apache-2.0
private import Foundation
public import KachelEngines
public import KachelImages
public import KachelModels

/// Looks for everything that can be wrong with a model package: first without running it, then by running it.
///
/// ```swift
/// let report = try await Verification(of: "nuclei.czann").report()
/// for check in report.checks { print(check.status, check.name, check.text) }
/// ```
public struct Verification: Sendable {
  /// The package: `.czmodel`, `.czseg`, `.czann`, or of the BioImage Model Zoo; or the JSON specification of one, of which
  /// the package that it describes is verified, on its `TestImageFile` where no other image is given.
  public let path: String
  /// A real image of the kind that the model was made for, on which it is run too.
  public let image: (any ImageSource)?
  /// The image's channels that the model gets, in this order, by name or by index; all if `nil`.
  public var channels: [String]?
  /// Which engine runs the network, where, and how precisely.
  public var engine = EngineChoice()

  public init(of path: String, image: (any ImageSource)? = nil) {
    self.path = path
    self.image = image
  }

  /// Does all checks. A package that cannot even be read has one, which failed.
  ///
  /// - Parameter engine: the default is the chosen one. Without it what needs to run is skipped, and the report says so.
  /// - Throws: ``EngineError`` where the choice is not possible here, ``ModelError`` where there is no such file, ``SegmentationError`` and ``ImageError`` where the image does
  ///   not fit the model or cannot be read.
  public func report(engine: (any Engine)? = nil) async throws -> VerificationReport {
    try await Stage(name: "kachel-verify").run { try report(on: engine) }
  }

  private func report(on engine: (any Engine)?) throws -> VerificationReport {
    if engine == nil { try self.engine.check() }
    if path.lowercased().hasSuffix(".json") { return try reportOfSpecification(engine) }
    return try report(ofPackage: path, image, on: engine)
  }

  /// Makes the package in a folder of its own, which is deleted afterwards.
  private func reportOfSpecification(_ engine: (any Engine)?) throws -> VerificationReport {
    let specification = try ModelSpecification(at: path)
    let folder = FileManager.default.temporaryDirectory.appending(path: "kachel-verify-\(UUID().uuidString)")
    do { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false) } catch {
      throw ModelError(.cannotWrite, file: folder.path, "cannot be created: \(error.localizedDescription)")
    }
    defer { try? FileManager.default.removeItem(at: folder) }
    let isCzann = if case .czann = specification.format { true } else { false }
    let package = folder.appending(path: isCzann ? "model.czann" : "model.czmodel").path
    do throws(ModelError) { try ModelPackage(specification).write(to: package) } catch {
      guard error.kind != .cannotRead, error.kind != .cannotWrite else { throw error }
      return VerificationReport(file: path, format: nil, checks: [Check("package", .failed, error.reason)])
    }
    let image = try self.image ?? specification.testImagePath.map { try Image(at: $0) }
    let report = try report(ofPackage: package, image, on: engine)
    return VerificationReport(file: path, format: report.format, checks: report.checks)
  }

  private func report(
    ofPackage path: String, _ image: (any ImageSource)?, on engine: (any Engine)?
  ) throws -> VerificationReport {
    let subject: VerificationSubject
    do throws(ModelError) { subject = try VerificationSubject(at: path) } catch {
      guard error.kind != .cannotRead else { throw error }
      return VerificationReport(
        file: path, format: nil,
        checks: [Check("container", .failed, (error.member.map { "\($0): " } ?? "") + error.reason)])
    }
    return VerificationReport(
      file: path, format: subject.format, checks: subject.staticChecks + (try running(subject, image, engine)))
  }

  private func running(
    _ subject: VerificationSubject, _ image: (any ImageSource)?, _ given: (any Engine)?
  ) throws -> [Check] {
    if let obstacle = subject.obstacle { return [Check("run", .skipped, obstacle)] }
    func run(_ engine: any Engine) throws -> [Check] {
      let checks = try subject.runningChecks(engine)
      guard let image else { return checks }
      return checks + [try subject.imageCheck(image, channels: channels, engine)]
    }
    do {
      if let given { return try run(given) }
      let (checks, note) = try engine.use(run)
      return [note.map { Check("engine", .warning, $0) }].compactMap { $0 } + checks
    } catch let error as EngineError where error.kind != .unsuitable {
      return [Check("run", error.kind == .missing ? .skipped : .failed, error.reason)]
    }
  }
}
