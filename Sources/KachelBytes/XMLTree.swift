// SPDX-License-Identifier: Apache-2.0
private import Foundation
#if canImport(FoundationXML)
  private import FoundationXML
#endif

/// An XML document as a tree of elements, for documents of metadata size.
///
/// Documents come from unknown places, so anything that reaches outside or expands is refused: document types,
/// entity declarations, other than 8-bit encodings, deep nesting, and documents beyond ``Limits``.
public struct XMLTree: Sendable {
  /// One element with its attributes, child elements and own text.
  public struct Element: Sendable, Hashable {
    /// The name without a namespace prefix.
    public let name: String
    /// The attributes by their names as written.
    public let attributes: [String: String]
    public let children: [Element]
    /// The character data directly inside the element, without white space around it.
    public let text: String

    /// The first child of that name.
    public func child(_ name: String) -> Element? { children.first { $0.name == name } }

    /// All children of that name, in document order.
    public func children(_ name: String) -> [Element] { children.filter { $0.name == name } }

    /// The first element at the end of a path of child names.
    public func descendant(_ path: String...) -> Element? {
      var found = [self]
      for name in path { found = found.flatMap { $0.children(name) } }
      return found.first
    }
  }

  /// What a document may hold. The largest metadata seen in microscope images is below 1 MB with 6000 elements.
  public struct Limits: Sendable {
    public var bytes = 256 << 20
    public var depth = 100
    public var elements = 2_000_000
    public init() {}
  }

  public let root: Element

  /// Parses a document.
  ///
  /// - Parameters:
  ///   - bytes: the document in UTF-8 (with or without a byte order mark) or another encoding that extends ASCII;
  ///     NUL bytes after the end are ignored, as files pad with them.
  ///   - file: what the document is called in errors.
  /// - Throws: `damaged` where the document is not well formed, holds a document type declaration, or exceeds `limits`.
  public init(_ bytes: some Collection<UInt8>, file: String, limits: Limits = Limits()) throws(BytesError) {
    guard bytes.count <= limits.bytes else {
      throw BytesError(.damaged, file: file, "XML of \(bytes.count) bytes; at most \(limits.bytes) are read")
    }
    var document = Array(bytes)
    while document.last == 0 { document.removeLast() }
    if document.starts(with: [0xEF, 0xBB, 0xBF]) { document.removeFirst(3) }
    var encoding: String?
    if let problem = Prolog.problem(in: document, encoding: &encoding) {
      throw BytesError(.damaged, file: file, problem)
    }
    guard let text = Self.utf8(document, encoding: encoding) else {
      throw BytesError(.damaged, file: file, "XML is not valid text in the encoding \(encoding ?? "UTF-8")")
    }

    let builder = TreeBuilder(limits: limits)
    let parser = XMLParser(data: text)
    parser.shouldResolveExternalEntities = false
    parser.delegate = builder
    let isComplete = parser.parse()
    if let problem = builder.problem {
      throw BytesError(.damaged, file: file, "\(problem) (XML line \(builder.problemLine))")
    }
    // Codes of 200 to 299 are about namespaces, as of an undeclared prefix; those documents are read.
    let code = parser.parserError.map { ($0 as NSError).code }.flatMap { 200..<300 ~= $0 ? nil : $0 }
    guard isComplete, code == nil, let root = builder.root else {
      let detail = code.map { " (code \($0))" } ?? ""
      throw BytesError(.damaged, file: file, "XML is not well formed\(detail) at line \(parser.lineNumber)")
    }
    self.root = root
  }

  /// The document in valid UTF-8 without byte order mark: the parser of Foundation on Linux ends the process when it
  /// meets names in invalid UTF-8.
  private static func utf8(_ document: [UInt8], encoding: String?) -> Data? {
    switch encoding {
    case nil, "utf-8", "utf8", "us-ascii", "ascii":
      return String(validating: document, as: UTF8.self) == nil ? nil : Data(document)
    default:
      let known: String.Encoding = encoding == "windows-1252" ? .windowsCP1252 : .isoLatin1
      guard let text = String(data: Data(document), encoding: known) else { return nil }
      // The declaration would now name the wrong encoding.
      return Data(text.replacing(/^<\?xml[^>]*>/, with: "").utf8)
    }
  }
}

/// What may stand before a document's first element. A document type declaration may stand nowhere else.
private enum Prolog {
  /// Says what is wrong, or finds the declared encoding, in lower case.
  static func problem(in document: [UInt8], encoding: inout String?) -> String? {
    if document.contains(0) { return "XML holds NUL bytes: it is in UTF-16 or UTF-32, or damaged" }
    var rest = document[...]
    while true {
      rest = rest.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }
      if rest.starts(with: "<?".utf8) {
        guard let declaration = take(until: "?>", from: &rest) else { return "XML ends inside <? ?>" }
        if declaration.starts(with: "<?xml ".utf8) {
          encoding = declaredEncoding(declaration)
          // Encodings in which `<!DOCTYPE` is not spelled in ASCII could hide one.
          if let encoding, !known.contains(encoding) { return "XML in the encoding \(encoding) is not read; use UTF-8" }
        }
      } else if rest.starts(with: "<!--".utf8) {
        guard take(until: "-->", from: &rest) != nil else { return "XML ends inside a comment" }
      } else if rest.starts(with: "<!".utf8) {
        return "XML has a document type (DOCTYPE) or entity declaration, which is not accepted; remove it"
      } else {
        return rest.first == UInt8(ascii: "<") ? nil : "this is not XML"
      }
    }
  }

  private static let known = ["utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "windows-1252"]

  private static func declaredEncoding(_ declaration: ArraySlice<UInt8>) -> String? {
    String(decoding: declaration, as: UTF8.self).firstMatch(of: /encoding\s*=\s*["']([^"']*)["']/)
      .map { $0.1.lowercased() }
  }

  private static func take(until end: String, from rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    let end = Array(end.utf8)
    var at = rest.startIndex
    while at + end.count <= rest.endIndex {
      if rest[at] == end[0], rest[at..<at + end.count].elementsEqual(end) {
        defer { rest = rest[(at + end.count)...] }
        return rest[..<(at + end.count)]
      }
      at += 1
    }
    return nil
  }
}

/// Receives the parser's events and builds elements from the leaves up.
private final class TreeBuilder: NSObject, XMLParserDelegate {
  private struct Open {
    var name: String
    var attributes: [String: String]
    var children: [XMLTree.Element] = []
    var text = ""
  }

  private let limits: XMLTree.Limits
  private var open: [Open] = []
  private var count = 0
  private(set) var root: XMLTree.Element?
  private(set) var problem: String?
  private(set) var problemLine = 0

  init(limits: XMLTree.Limits) { self.limits = limits }

  private func stop(_ parser: XMLParser, _ reason: String) {
    guard problem == nil else { return }
    problem = reason
    problemLine = parser.lineNumber
    parser.abortParsing()
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) {
    guard problem == nil else { return }
    count += 1
    if open.count >= limits.depth { return stop(parser, "XML is nested deeper than \(limits.depth) elements") }
    if count > limits.elements { return stop(parser, "XML has more than \(limits.elements) elements") }
    let local = name.split(separator: ":").last.map(String.init) ?? name
    open.append(Open(name: local, attributes: attributes))
  }

  func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
    guard problem == nil, let last = open.popLast() else { return }
    let element = XMLTree.Element(
      name: last.name, attributes: last.attributes, children: last.children,
      text: last.text.trimmingCharacters(in: .whitespacesAndNewlines))
    if open.isEmpty { root = element } else { open[open.count - 1].children.append(element) }
  }

  func parser(_ parser: XMLParser, foundCharacters string: String) {
    guard problem == nil, !open.isEmpty else { return }
    open[open.count - 1].text += string
  }

  func parser(_ parser: XMLParser, foundCDATA block: Data) {
    self.parser(parser, foundCharacters: String(decoding: block, as: UTF8.self))
  }

  func parser(
    _ parser: XMLParser, foundInternalEntityDeclarationWithName name: String, value: String?
  ) { stop(parser, "XML declares the entity \(name), which is not accepted") }

  func parser(
    _ parser: XMLParser, foundExternalEntityDeclarationWithName name: String, publicID: String?, systemID: String?
  ) { stop(parser, "XML declares the external entity \(name), which is not accepted") }
}
