// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kachel
import KachelTesting
import Testing

/// Images on a web server.
@Suite struct RemoteTests {
  private let kachel: KachelProcess
  init() throws { kachel = try KachelProcess() }

  private static let image = "v05.ome.zarr"
  private static var folder: String { get throws { try SharedData.path("omezarr/ref") } }
  private static let plane = ["--channel", "0", "--z", "1"]

  @Test func inspectingIsAsOfTheFolder() async throws {
    let server = try FolderServer(Self.folder)
    for options in [[], ["--json"]] {
      let local = try await kachel.run(["inspect", "\(Self.folder)/\(Self.image)"] + options)
      let remote = try await kachel.run(["inspect", "\(server.address)/\(Self.image)/"] + options)
      #expect(remote.status == 0 && local.status == 0, "\(remote.errors)")
      #expect(remote.output == local.output.replacingOccurrences(of: try Self.folder, with: server.address))
    }
  }

  @Test func labelsAreAsOfTheFolder() async throws {
    let server = try FolderServer(Self.folder)
    let address = server.address.replacingOccurrences(of: "//", with: "//me:secret@") + "/\(Self.image)?sig=secret"
    let local = try await kachel.run(
      ["segment", "\(Self.folder)/\(Self.image)", "-m", Inputs.quick, "-o", "local"] + Self.plane)
    let remote = try await kachel.run(["segment", address, "-m", Inputs.quick] + Self.plane)
    #expect(local.status == 0 && remote.status == 0, "\(remote.errors)")
    #expect(remote.lines == ["v05.labels.ome.zarr"])
    #expect(try stored(kachel.folder.file(remote.lines[0])) == stored(kachel.folder.file("local")))
    // The result says where the image is, and nothing that only its owner should know.
    let text = try String(contentsOfFile: kachel.folder.file(remote.lines[0] + "/.zattrs"), encoding: .utf8)
    #expect(text.contains("\(server.address)/\(Self.image)") && !text.contains("secret"))
    #expect(server.requests.allSatisfy { $0.uri.hasSuffix("?sig=secret") && $0.headers["authorization"] != nil })
    // Nor do those of several images.
    let several = try await kachel.run(
      ["segment", address, "s3://key:secret@bucket/b.zarr?secret", "-m", Inputs.quick, "-o", "all", "--json"]
        + Self.plane)
    #expect(several.status == 65 && several.errors.contains("1 of 2 images segmented"), "\(several.errors)")
    #expect(!(several.output + several.errors).contains("secret"))
    #expect(try stored(kachel.folder.file("all/v05.labels.ome.zarr")) == stored(kachel.folder.file("local")))
  }

  @Test func encrypted() async throws {
    let server = try FolderServer(Self.folder, isEncrypted: true)
    let arguments = ["inspect", "\(server.address)/\(Self.image)"]
    let authority = try kachel.files.write(TestCertificate.pem.utf8, to: "authority.pem")
    let trusted = try await kachel.run(arguments, environment: ["SSL_CERT_FILE": authority])
    #expect(trusted.status == 0 && trusted.output.contains("160 x"), "\(trusted.errors)")
    let distrusted = try await kachel.run(arguments, environment: ["SSL_CERT_FILE": ""])
    #expect(distrusted.status == 65 && distrusted.errors.contains("certificate is not trusted"), "\(distrusted.errors)")
  }

  @Test func serversThatDoNotAnswer() async throws {
    let server = try FolderServer(Self.folder)
    server.stop()
    let run = try await kachel.run(["segment", "\(server.address)/x.zarr", "-m", Inputs.quick])
    #expect(run.status == 75 && run.errors.contains("check the address and the network"), "\(run.errors)")
    #expect(try kachel.written.isEmpty)
    let other = try await kachel.run(["inspect", "s3://bucket/x.zarr"])
    #expect(other.status == 65 && other.errors.contains("give the bucket's https:// address"))
  }

  /// A server that falls silent holds up nobody who wants to stop.
  @Test func stoppedWhileTheServerIsSilent() async throws {
    let server = try FolderServer(Self.folder) { $0.key.contains("/c/") ? .silent : .good }
    let run = try await kachel.run(["segment", "\(server.address)/\(Self.image)", "-m", Inputs.quick] + Self.plane) {
      process, _ in
      while !server.requests.contains(where: { $0.key.contains("/c/") }) {
        Thread.sleep(forTimeInterval: 0.02)
      }
      kill(process, SIGINT)
    }
    #expect(run.status == 130 && run.errors.contains("stopped; nothing was written"), "\(run.errors)")
    #expect(try kachel.written.isEmpty)
  }
}
