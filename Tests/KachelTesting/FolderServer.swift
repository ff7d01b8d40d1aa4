// SPDX-License-Identifier: Apache-2.0
private import Foundation
private import NIOCore
private import NIOHTTP1
private import NIOPosix
private import NIOSSL
private import Synchronization

/// A web server on this machine for the files of a folder, which can be told to misbehave. It stops with the value.
public final class FolderServer: Sendable {
  public struct Request: Sendable {
    /// What is asked for: the address's path without the first slash, decoded.
    public var key: String
    /// As sent, with query.
    public var uri: String
    public var headers: [String: String]
    /// How many requests for the same key there were with this one.
    public var number: Int
    public var range: String? { headers["range"] }
  }

  public enum Behavior: Sendable {
    /// As a good server.
    case good
    /// As a good server that does not know ranges.
    case ignoresRange
    /// Half of what a good server sends, then the connection is closed.
    case closesEarly
    /// Headers replace a good server's, which are `Content-Length` only; empty ones are left out. The connection is
    /// closed after it.
    case answer(_ status: Int, _ headers: [String: String] = [:], _ body: [UInt8] = [])
    /// Nothing at all.
    case silent
    /// An answer without end.
    case endless
  }

  public let port: Int
  private let isEncrypted: Bool
  private let core: Core
  private let channel: any Channel

  public var address: String { "\(isEncrypted ? "https" : "http")://127.0.0.1:\(port)" }
  /// All requests so far.
  public var requests: [Request] { core.requests.withLock { $0 } }
  /// How many bytes of content the network took.
  public var sentBytes: Int { core.sent.withLock { $0 } }
  /// How many connections there were at most at the same time.
  public var mostConnections: Int { core.connections.withLock { $0.most } }

  /// - Parameter isEncrypted: whether it speaks HTTPS, with ``TestCertificate``.
  public init(
    _ folder: String, isEncrypted: Bool = false, behavior: @escaping @Sendable (Request) -> Behavior = { _ in .good }
  ) throws {
    let core = Core(folder: folder, behavior: behavior)
    self.core = core
    self.isEncrypted = isEncrypted
    let encryption = isEncrypted ? try TestCertificate.serverContext() : nil
    channel = try ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if let encryption { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: encryption)) }
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          try channel.pipeline.syncOperations.addHandler(Handler(core))
        }
      }
      .bind(host: "127.0.0.1", port: 0).wait()
    port = channel.localAddress?.port ?? 0
  }

  /// Ends all connections and takes no more.
  public func stop() {
    try? channel.close().wait()
    for connection in core.connections.withLock({ Array($0.open.values) }) { try? connection.close().wait() }
  }

  deinit { stop() }
}

private final class Core: Sendable {
  let folder: String
  let behavior: @Sendable (FolderServer.Request) -> FolderServer.Behavior
  let requests = Mutex<[FolderServer.Request]>([])
  let sent = Mutex(0)
  let connections = Mutex((open: [ObjectIdentifier: any Channel](), most: 0))

  init(folder: String, behavior: @escaping @Sendable (FolderServer.Request) -> FolderServer.Behavior) {
    self.folder = folder
    self.behavior = behavior
  }

  func note(_ head: HTTPRequestHead) -> FolderServer.Request {
    let path = head.uri.prefix { $0 != "?" }.dropFirst()
    let key = String(path).removingPercentEncoding ?? ""
    return requests.withLock { requests in
      let request = FolderServer.Request(
        key: key, uri: head.uri,
        headers: Dictionary(head.headers.map { ($0.name.lowercased(), $0.value) }, uniquingKeysWith: { $1 }),
        number: requests.count { $0.key == key } + 1)
      requests.append(request)
      return request
    }
  }
}

private final class Handler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let core: Core
  private var request: FolderServer.Request?

  init(_ core: Core) { self.core = core }

  func channelActive(context: ChannelHandlerContext) {
    let channel = context.channel
    core.connections.withLock {
      $0.open[ObjectIdentifier(channel)] = channel
      $0.most = max($0.most, $0.open.count)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    let channel = context.channel
    core.connections.withLock { $0.open[ObjectIdentifier(channel)] = nil }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): request = core.note(head)
    case .body: break
    case .end: if let request { answer(request, context) }
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func answer(_ request: FolderServer.Request, _ context: ChannelHandlerContext) {
    switch core.behavior(request) {
    case .good:
      let (status, headers, body) = content(of: request, range: request.range)
      send(status, headers, body, context, closes: false)
    case .ignoresRange:
      let (status, headers, body) = content(of: request, range: nil)
      send(status, headers, body, context, closes: false)
    case .closesEarly:
      let (status, headers, body) = content(of: request, range: request.range)
      send(status, headers, body.prefix(body.count / 2), context, closes: true)
    case .answer(let status, let headers, let body):
      send(status, ["Content-Length": "\(body.count)"].merging(headers) { $1 }, body[...], context, closes: true)
    case .silent: break
    case .endless:
      head(200, ["Transfer-Encoding": "chunked"], context)
      sendEndlessly(context)
    }
  }

  /// What RFC 9110 says of one range.
  private func content(
    of request: FolderServer.Request, range: String?
  ) -> (status: Int, headers: [String: String], body: ArraySlice<UInt8>) {
    guard let data = try? Data(contentsOf: URL(filePath: core.folder + "/" + request.key)) else {
      return (404, ["Content-Length": "9"], ArraySlice("not found".utf8))
    }
    let bytes = [UInt8](data)
    guard let range, range.hasPrefix("bytes=") else { return (200, ["Content-Length": "\(bytes.count)"], bytes[...]) }
    let ends = range.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    var part = 0..<0
    if let first = ends[0], first < bytes.count {
      part = first..<min(bytes.count, (ends[1] ?? bytes.count) + 1)
    } else if ends[0] == nil, let last = ends[1] {
      part = max(0, bytes.count - last)..<bytes.count
    }
    guard !part.isEmpty else {
      return (416, ["Content-Length": "0", "Content-Range": "bytes */\(bytes.count)"], [])
    }
    return (
      206,
      [
        "Content-Length": "\(part.count)",
        "Content-Range": "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(bytes.count)",
      ], bytes[part]
    )
  }

  private func head(_ status: Int, _ headers: [String: String], _ context: ChannelHandlerContext) {
    let headers = HTTPHeaders(headers.sorted { $0.key < $1.key }.filter { !$0.value.isEmpty })
    context.write(
      wrapOutboundOut(.head(.init(version: .http1_1, status: .init(statusCode: status), headers: headers))),
      promise: nil)
  }

  private func send(
    _ status: Int, _ headers: [String: String], _ body: ArraySlice<UInt8>, _ context: ChannelHandlerContext,
    closes: Bool
  ) {
    head(status, closes ? headers.merging(["Connection": "close"]) { $1 } : headers, context)
    core.sent.withLock { $0 += body.count }
    let part = wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: body))))
    guard closes else {
      context.write(part, promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
      return
    }
    let channel = context.channel
    context.writeAndFlush(part).whenComplete { _ in channel.close(promise: nil) }
  }

  private func sendEndlessly(_ context: ChannelHandlerContext) {
    let part = context.channel.allocator.buffer(bytes: [UInt8](repeating: 7, count: 1 << 16))
    let (core, bound) = (core, NIOLoopBound((self, context), eventLoop: context.eventLoop))
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(part)))).whenSuccess {
      core.sent.withLock { $0 += 1 << 16 }
      let (handler, context) = bound.value
      handler.sendEndlessly(context)
    }
  }
}
