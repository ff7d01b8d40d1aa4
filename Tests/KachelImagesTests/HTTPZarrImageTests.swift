// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelPixels
import KachelTesting
import Testing

@testable import KachelImages

/// Images on a server are those in the folder that it serves.
@Suite struct HTTPZarrImageTests {
  @Test func everyGoldenArray() throws {
    let server = try FolderServer(SharedData.path("omezarr/ref"))
    for (name, golden) in try ZarrGoldenTests.goldens() {
      let store = HTTPZarrStore(try RemoteAddress(server.address + "/" + name))
      guard case .array(let layout, _) = try ZarrHierarchy(store).node("") else {
        Issue.record("\(name) is no array")
        continue
      }
      let array = try ZarrArray(store, key: "", layout, cache: ZarrChunkCache(limit: 1 << 20))
      #expect(try ZarrGoldenTests.sha256(of: array) == golden.sha256, "\(name)")
    }
    #expect(server.requests.contains { $0.range != nil })
  }

  /// Compares every plane of every level, and everything that is said of the image.
  private func expectSame(_ remote: Image, _ local: Image) throws {
    #expect(remote.description == local.description)
    let (one, other) = (PixelBuffer(width: 0, height: 0, type: .uint8), PixelBuffer(width: 0, height: 0, type: .uint8))
    let description = local.description
    for (scene, facts) in description.scenes.enumerated() {
      for (level, shape) in facts.levels.enumerated() {
        for channel in description.channels.indices {
          for z in 0..<description.depth {
            let plane = PlaneIndex(scene: scene, channel: channel, z: z, level: level)
            try remote.read(Region(shape.size), of: plane, into: one)
            try local.read(Region(shape.size), of: plane, into: other)
            #expect(one.isSame(as: other), "\(plane)")
          }
        }
      }
    }
  }

  @Test(arguments: [
    ("omezarr/ref/v04.ome.zarr", 17), ("omezarr/ref/v05.ome.zarr", 7), ("omezarr/ref/v04.ome.zarr/labels", 16),
    ("omezarr/ref/v05.ome.zarr/labels/nuclei", 10), ("omezarr/viv/bioformats-zarr/data.zarr", 22),
  ]) func imagesAndHowManyRequestsOpenThem(name: String, requests: Int) throws {
    let folder = try SharedData.path(name)
    let server = try FolderServer(folder)
    let remote = try Image(at: server.address + "/")
    #expect(remote.path == server.address)
    #expect(server.requests.count <= requests, "\(server.requests.map(\.key))")
    try expectSame(remote, Image(at: folder))
  }

  /// Metadata in one entry, as most programs write it, open an image with a few requests.
  @Test(arguments: ["04", "05"]) func consolidatedMetadata(version: String) throws {
    let scratch = try ScratchFolder()
    let (source, folder) = (try SharedData.path("omezarr/ref/v\(version).ome.zarr"), scratch.file("a"))
    try FileManager.default.copyItem(atPath: source, toPath: folder)
    var entries: [String: Any] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
      let last = (name as NSString).lastPathComponent
      guard [".zarray", ".zattrs", ".zgroup", "zarr.json"].contains(last) else { continue }
      let json = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: folder + "/" + name)))
      entries[last == "zarr.json" ? (name as NSString).deletingLastPathComponent : name] = json
    }
    if version == "04" {
      let all = try JSONSerialization.data(withJSONObject: ["metadata": entries, "zarr_consolidated_format": 1])
      _ = try scratch.write(all, to: "a/.zmetadata")
    } else {
      var root = try #require(entries.removeValue(forKey: "") as? [String: Any])
      root["consolidated_metadata"] = ["kind": "inline", "must_understand": false, "metadata": entries]
      _ = try scratch.write(JSONSerialization.data(withJSONObject: root), to: "a/zarr.json")
    }
    let server = try FolderServer(folder)
    let remote = try Image(at: server.address)
    #expect(server.requests.count <= (version == "04" ? 4 : 1), "\(server.requests.map(\.key))")
    try expectSame(remote, Image(at: source))
  }

  @Test(arguments: [nil, [2, 2]]) func missingChunksAreTheFillValue(shard: [Int]?) throws {
    let scratch = try ScratchFolder()
    var fixture = ZarrFixture(shape: [32, 32], chunk: [4, 4]) { $0[0] * 40 + $0[1] }
    fixture.fill = "9"
    fixture.shard = shard
    fixture.isMissing = { $0[0] % 3 == 1 || $0[0] < 2 && $0[1] < 2 }
    try fixture.write(to: scratch.file("a"))
    for status in [404, 403] {
      // What is missing is refused, as by S3.
      let server = try FolderServer(scratch.path) { request in
        FileManager.default.fileExists(atPath: scratch.file(request.key)) ? .good : .answer(status)
      }
      try expectSame(Image(at: server.address + "/a"), Image(at: scratch.file("a")))
    }
  }

  @Test func aChunkThatFailsDoesNotSpoilOthers() throws {
    let scratch = try ScratchFolder()
    try ZarrFixture(shape: [8, 8], chunk: [4, 4]) { $0[0] * 8 + $0[1] }.write(to: scratch.file("a"))
    let server = try FolderServer(scratch.path) { request in
      request.key.hasSuffix("c/0/0") && request.number == 1 ? .answer(400) : .good
    }
    let image = try Image(at: server.address + "/a")
    let pixels = PixelBuffer(width: 0, height: 0, type: .uint8)
    let error = #expect(throws: ImageError.self) {
      try image.read(Region(x: 0, y: 0, width: 8, height: 8), of: PlaneIndex(), into: pixels)
    }
    #expect(error?.file == server.address + "/a/c/0/0")
    try expectSame(image, Image(at: scratch.file("a")))
  }

  @Test func whatIsNoImage() throws {
    let server = try FolderServer(SharedData.path("example"))
    for name in ["nuclei-mosaic.czi", "none", "nuclei.czann", ""] {
      let error = #expect(throws: ImageError.self) { try Image(at: server.address + "/" + name) }
      #expect(error?.kind == .notAnImage)
      #expect(error?.reason.contains("other formats are not read over the network: download the file") == true)
    }
    let closed = try FolderServer(SharedData.path("example")) { _ in .answer(403) }
    let error = #expect(throws: ImageError.self) { try Image(at: closed.address + "/x.zarr") }
    #expect(error?.kind == .notAnImage && error?.reason.contains("access is refused (403 Forbidden)") == true)
  }
}
