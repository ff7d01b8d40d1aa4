// SPDX-License-Identifier: Apache-2.0
private import Foundation
internal import SwiftProtobuf

/// One node of a TensorFlow graph and its attributes.
struct TensorFlowOperation: Sendable {
  let node: TF_NodeDef

  var kind: String { node.op }
  var name: String { node.name }

  func flag(_ name: String) -> Bool { node.attr[name]?.b ?? false }

  func integer(_ name: String, _ standard: Int = 0) -> Int {
    guard let attribute = node.attr[name], case .i(let value)? = attribute.value else { return standard }
    return Int(exactly: value) ?? standard
  }

  func number(_ name: String, _ standard: Float) -> Float {
    guard let attribute = node.attr[name], case .f(let value)? = attribute.value else { return standard }
    return value
  }

  func text(_ name: String) -> String? { node.attr[name].map { String(decoding: $0.s, as: UTF8.self) } }

  func integers(_ name: String) -> [Int] { node.attr[name]?.list.i.map { Int($0) } ?? [] }

  func type(_ name: String) -> ElementType? { node.attr[name].flatMap { ElementType(tensorFlow: $0.type) } }

  var isChannelsFirst: Bool { text("data_format") == "NCHW" }
}
