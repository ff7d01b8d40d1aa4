// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelTesting
import Testing

@testable import KachelImages

@Suite struct RemoteAddressTests {
  @Test(arguments: [
    ("https://host", "https://host/0/.zarray"), ("https://host/", "https://host/0/.zarray"),
    ("HTTPS://host:8443/a/b.zarr//", "https://host:8443/a/b.zarr/0/.zarray"),
    ("http://u:p@host/x.zarr?token=a%2Fb&c=d", "http://host/x.zarr/0/.zarray?token=a%2Fb&c=d"),
    // As typed, or as copied from a browser.
    ("https://host/my image.zarr#top", "https://host/my%20image.zarr/0/.zarray"),
    ("https://host/my%20image.zarr", "https://host/my%20image.zarr/0/.zarray"),
    ("https://host/ü", "https://host/%C3%BC/0/.zarray"), ("http://[::1]:80/x", "http://[::1]:80/x/0/.zarray"),
  ]) func entries(address: String, url: String) throws {
    #expect(try RemoteAddress(address).url(of: "0/.zarray") == url)
  }

  @Test(arguments: [
    ("s3://bucket/x.zarr", ".unsupported", "give the bucket's https:// address"),
    ("gs://b/x", ".unsupported", "give the bucket's https:// address"),
    ("ftp://u:p@host/x?q", ".unsupported", "read over https:// and http://"),
    ("file:///data/x.czi", ".unsupported", "without file://"), ("https://", ".notAnImage", "no address"),
    ("https:///x", ".notAnImage", "no address"), ("https://h:99999/x", ".notAnImage", "no address"),
    ("https://u:se cret@ho st/x", ".notAnImage", "no address"),
  ]) func refused(address: String, kind: String, words: String) throws {
    for open in [{ _ = try RemoteAddress(address) }, { _ = try Image(at: address) }] {
      let error = #expect(throws: ImageError.self) { try open() }
      #expect(error.map { ".\($0.kind)" } == kind && error?.reason.contains(words) == true)
      #expect(error?.description.contains("cret") == false && error?.description.contains("u:p") == false)
    }
  }

  @Test func paths() {
    for path in ["x.czi", "/data/a:b", "C:\\x", "a/b://c", "://x", "1x://y", ""] {
      #expect(!RemoteAddress.isAddress(path) && RemoteAddress.withoutSecrets(path) == path)
    }
  }

  @Test func secrets() throws {
    let address = "https://me:pass@host:8443/a/x.zarr?sig=pass#pass"
    #expect(try RemoteAddress(address).name == "https://host:8443/a/x.zarr")
    #expect(RemoteAddress.withoutSecrets(address) == "https://host:8443/a/x.zarr")
    #expect(RemoteAddress.withoutSecrets("s3://key:pass@bucket/x?pass") == "s3://bucket/x")
  }

  @Test(arguments: [
    ("https://host/a/x.ome.zarr", "x.ome.zarr"), ("https://host/a/my%20x.zarr", "my x.zarr"),
    ("https://host/a/..%2F..%2Fx", "..%2F..%2Fx"), ("https://host", "host"), ("a/b%20c.czi", "b%20c.czi"),
  ]) func fileNames(path: String, name: String) { #expect(RemoteAddress.fileName(of: path) == name) }

  @Test func secretsAreUsedAndNotTold() throws {
    let served = try Served()
    _ = try served.folder.write([1], to: "ü b+%41&?#")
    let server = try served.server { $0.uri.contains("?token=a%2Fb&c=d+e") ? .good : .answer(503) }
    let address = server.address.replacingOccurrences(of: "//", with: "//us%40er:pa%3Ass@")
    let store = try served.store(address + "/?token=a%2Fb&c=d+e")
    #expect(try store.read("ü b+%41&?#", .all, limit: 1) == [1])
    #expect(server.requests.map(\.uri) == ["/%C3%BC%20b%2B%2541%26%3F%23?token=a%2Fb&c=d+e"])
    let authorization = "Basic " + Data("us@er:pa:ss".utf8).base64EncodedString()
    #expect(server.requests[0].headers["authorization"] == authorization)
    #expect(
      store.failure("zarr.json", limit: 1)?.description == server.address
        + "/zarr.json: 2 bytes are more than belong here (1)")
  }

  @Test(arguments: [
    ("https://a/x", "https://b/y", "https://b/y"), ("https://a/x", "//b/y", "https://b/y"),
    ("http://a/x", "https://a/x", "https://a/x"), ("http://a/x", "/y?z", "http://a/y?z"),
    ("https://a/x", "http://a/x", nil), ("https://a/x", "HTTP://a/x", nil), ("https://a/x", "file:///x", nil),
    ("https://a/x", "https:///x", nil), ("https://a/x", "", nil), ("https://a/x", nil, nil),
  ]) func redirectTargets(from: String, location: String?, target: String?) throws {
    let url = try #require(URL(string: from))
    let found = try? HTTPTransport.target(of: location, from: url).absoluteString
    #expect(found == target)
  }
}
