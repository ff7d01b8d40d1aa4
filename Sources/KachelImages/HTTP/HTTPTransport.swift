// SPDX-License-Identifier: Apache-2.0
private import AsyncHTTPClient
private import Dispatch
import Foundation
private import NIOCore
private import NIOHTTP1
private import NIOPosix
private import NIOSSL
private import Synchronization

/// Sends requests and takes answers, over connections that are kept for the next ones.
///
/// Calls block their thread, never one that answers come in on; they must not be made on an event loop of NIO.
final class HTTPTransport: Sendable {
  private static let mostRedirects = 5
  /// How many requests are on their way at most, each on a connection of its own.
  private static let mostRequests = 8
  private let client: HTTPClient
  /// The client would take waiting for one of its connections for a server that does not answer.
  private let places = DispatchSemaphore(value: mostRequests)

  init(_ patience: HTTPPatience) {
    var encryption = TLSConfiguration.makeClientConfiguration()
    encryption.minimumTLSVersion = .tlsv12
    // As OpenSSL, Python and curl take it: where a laboratory has a certificate authority of its own.
    if let file = ProcessInfo.processInfo.environment["SSL_CERT_FILE"], !file.isEmpty {
      encryption.trustRoots = .file(file)
    }
    var configuration = HTTPClient.Configuration(
      tlsConfiguration: encryption, redirectConfiguration: .disallow,
      timeout: .init(connect: .init(patience.connecting), read: .init(patience.silence)))
    configuration.httpVersion = .http1Only
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = Self.mostRequests
    // An attempt to connect that fails is told at once, and repeated by us.
    configuration.connectionPool.retryConnectionEstablishment = false
    client = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration)
  }

  // The client lives on until it is shut down.
  deinit { client.shutdown { _ in } }

  /// Gets an answer, following redirects.
  ///
  /// - Parameters:
  ///   - timeout: for everything.
  ///   - accept: looks at what comes before the content and says what of it is wanted; `nil` is nothing.
  func get(
    _ address: String, authorization: String?, range: HTTPRange?, timeout: Duration,
    accept: @escaping @Sendable (HTTPHead) throws(HTTPFault) -> HTTPContent?
  ) throws(HTTPFault) -> HTTPAnswer {
    let end = ContinuousClock.now + timeout
    guard var url = URL(string: address) else { throw HTTPFault(.lasting(.notAnImage), "is no address") }
    var headers = HTTPHeaders([("User-Agent", "kachel"), ("Accept-Encoding", "identity")])
    if let authorization { headers.add(name: "Authorization", value: authorization) }
    if let range { headers.add(name: "Range", value: range.header) }
    for _ in 0...Self.mostRedirects {
      let answer = try get(url, headers, timeout: end - .now) { (head) throws(HTTPFault) in
        Self.redirects.contains(head.status) ? nil : try accept(head)
      }
      guard Self.redirects.contains(answer.head.status) else { return answer }
      let next = try Self.target(of: answer.head.location, from: url)
      // A password is for the server that it was given for.
      if next.scheme != url.scheme || next.host() != url.host() || next.port != url.port {
        headers.remove(name: "Authorization")
      }
      url = next
    }
    throw HTTPFault(.lasting(.notAnImage), "the server redirects more than \(Self.mostRedirects) times")
  }

  private static let redirects: Set = [301, 302, 303, 307, 308]

  /// Where a redirect leads: to a web address, and not from an encrypted one to one that is not.
  static func target(of location: String?, from url: URL) throws(HTTPFault) -> URL {
    guard let location, let target = URL(string: location, relativeTo: url)?.absoluteURL,
      let scheme = target.scheme?.lowercased(), scheme == "https" || scheme == "http", target.host()?.isEmpty == false
    else { throw HTTPFault(.lasting(.notAnImage), "the server redirects to no web address") }
    guard scheme == "https" || url.scheme?.lowercased() == "http" else {
      throw HTTPFault(
        .lasting(.notAnImage),
        "the server redirects to an address that is not encrypted; give that one, if you trust it")
    }
    return target
  }

  private func get(
    _ url: URL, _ headers: HTTPHeaders, timeout: Duration,
    accept: @escaping @Sendable (HTTPHead) throws(HTTPFault) -> HTTPContent?
  ) throws(HTTPFault) -> HTTPAnswer {
    let request: HTTPClient.Request
    do { request = try HTTPClient.Request(url: url, headers: headers) } catch {
      throw HTTPFault(.lasting(.notAnImage), "is no address: \(error)")
    }
    while places.wait(timeout: .now() + .milliseconds(100)) == .timedOut {
      if Task.isCancelled { throw HTTPFault(.cancelled, "was stopped") }
    }
    defer { places.signal() }
    let collector = HTTPCollector(accept)
    let task = client.execute(request: request, delegate: collector, deadline: .now() + .init(timeout))
    let done = DispatchSemaphore(value: 0)
    task.futureResult.whenComplete { result in
      collector.end(result)
      done.signal()
    }
    while done.wait(timeout: .now() + .milliseconds(100)) == .timedOut {
      if Task.isCancelled { task.cancel() }
    }
    return try collector.answer()
  }
}

/// Takes an answer as it comes in, and no more of it than is wanted.
private final class HTTPCollector: HTTPClientResponseDelegate {
  private struct State {
    /// Set when the answer's head was accepted.
    var head: HTTPHead?
    var content: HTTPContent?
    var bytes = ByteBuffer()
    var ignored = 0
    var error: (any Error)?
  }

  /// How much of what is not wanted is taken, so that the connection can be used again.
  private static let mostIgnored = 1 << 16
  private let accept: @Sendable (HTTPHead) throws(HTTPFault) -> HTTPContent?
  private let state = Mutex(State())

  init(_ accept: @escaping @Sendable (HTTPHead) throws(HTTPFault) -> HTTPContent?) { self.accept = accept }

  func didReceiveHead(task: HTTPClient.Task<Void>, _ response: HTTPResponseHead) -> EventLoopFuture<Void> {
    let headers = response.headers
    let head = HTTPHead(
      status: Int(response.status.code),
      length: headers.first(name: "Content-Length").flatMap { Int($0) }.map { max(0, $0) },
      contentRange: headers.first(name: "Content-Range").flatMap { HTTPContentRange($0) },
      contentEncoding: headers.first(name: "Content-Encoding"), location: headers.first(name: "Location"),
      retryAfter: headers.first(name: "Retry-After").flatMap { HTTPHead.retryAfter($0) })
    return task.eventLoop.makeCompletedFuture {
      let content = try accept(head)
      state.withLock { state in
        (state.head, state.content) = (head, content)
        if let count = content?.count { state.bytes.reserveCapacity(minimumWritableBytes: count) }
      }
    }
  }

  func didReceiveBodyPart(task: HTTPClient.Task<Void>, _ part: ByteBuffer) -> EventLoopFuture<Void> {
    task.eventLoop.makeCompletedFuture {
      try state.withLock { state in
        guard let content = state.content else {
          state.ignored += part.readableBytes
          if state.ignored > Self.mostIgnored { throw HTTPFault(.cancelled, "is not wanted") }
          return
        }
        guard part.readableBytes <= content.limit - state.bytes.readableBytes else { throw content.overflow }
        state.bytes.writeImmutableBuffer(part)
      }
    }
  }

  func didFinishRequest(task: HTTPClient.Task<Void>) {}

  func end(_ result: Result<Void, any Error>) {
    state.withLock { state in
      if case .failure(let error) = result { state.error = error }
    }
  }

  /// The answer, when it has ended.
  func answer() throws(HTTPFault) -> HTTPAnswer {
    let state = state.withLock { $0 }
    // Without content, an answer is whole with its head.
    if let head = state.head, state.content == nil { return HTTPAnswer(head: head, bytes: []) }
    if let error = state.error { throw HTTPFault(error) }
    guard let head = state.head, state.content?.count.map({ $0 == state.bytes.readableBytes }) ?? true else {
      throw HTTPFault(.temporary(after: nil), "the server's answer ended early")
    }
    return HTTPAnswer(head: head, bytes: Array(state.bytes.readableBytesView))
  }
}

extension HTTPFault {
  /// What the client says of a request that failed.
  fileprivate init(_ error: any Error) {
    switch error {
    case let fault as HTTPFault: self = fault
    case let error as HTTPClientError:
      switch error {
      case .cancelled: self.init(.cancelled, "was stopped")
      case .connectTimeout, .getConnectionFromPoolTimeout: self.init(.unreachable, "the server does not answer")
      case .readTimeout, .deadlineExceeded: self.init(.temporary(after: nil), "the server stopped answering")
      case .remoteConnectionClosed: self.init(.temporary(after: nil), "the server's answer ended early")
      default: self.init(.temporary(after: nil), "the request failed: \(error)")
      }
    case let error as NIOConnectionError:
      let reason = error.connectionErrors.last.map { Self.reason($0.error) }
      self.init(
        .unreachable, "the server cannot be reached: \(reason ?? "no host of the name \(error.host) is known")")
    case let error as IOError:
      if [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT].contains(error.errnoCode) {
        self.init(.unreachable, "the server cannot be reached: \(Self.reason(error))")
      } else {
        self.init(.temporary(after: nil), "the connection failed: \(Self.reason(error))")
      }
    case ChannelError.connectTimeout: self.init(.unreachable, "the server does not answer")
    case is ChannelError: self.init(.temporary(after: nil), "the connection failed: \(error)")
    case is HTTPParserError:
      self.init(.temporary(after: nil), "the server's answer ended early, or is no HTTP: \(error)")
    default:
      // The library for encryption tells in words only.
      let text = "\(error)"
      let isDistrusted = text.contains("CERTIFICATE_VERIFY_FAILED") || text.contains("unableToValidateCertificate")
      if isDistrusted {
        self.init(
          .lasting(.notAnImage),
          "the server's certificate is not trusted; where its authority is your own, name its file in SSL_CERT_FILE")
      } else {
        self.init(.temporary(after: nil), "the request failed: \(text)")
      }
    }
  }

  private static func reason(_ error: any Error) -> String {
    (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
  }
}
