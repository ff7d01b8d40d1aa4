// SPDX-License-Identifier: Apache-2.0
import Foundation
import KachelBytes
import KachelImages
import KachelPixels
import KachelTesting
import Testing

@Suite struct CZIMetadataTests {
  /// The metadata of real files as an independent parser gives them.
  struct Golden: Decodable {
    var scaling: [String: [String?]]
    var channels: [[String?]]
    var display: [[String?]]
    var scenes: [[String?]]
  }

  @Test func realFiles() throws {
    let goldens = try JSONDecoder().decode(
      [String: Golden].self, from: SharedData.data("czi/goldens/metadata_real.json"))
    var compared = 0
    for file in CZIFiles.all where file.hasPrefix("real/") {
      let golden = try #require(goldens[String(file.dropFirst(5))])
      let description = try Image(at: CZIFiles.path(file)).description
      for (axis, found) in zip(
        ["X", "Y", "Z"], [description.physicalSize.x, description.physicalSize.y, description.physicalSize.z])
      {
        let metres = golden.scaling[axis]?.first.flatMap { $0 }.flatMap(Double.init) ?? 0
        if metres > 0 {
          #expect(abs(try #require(found) - metres * 1e6) <= metres * 1e-9, "\(file) \(axis)")
        } else {
          #expect(found == nil, "\(file) \(axis)")
        }
      }
      for (index, channel) in description.channels.enumerated() {
        let inFile = index < golden.channels.count ? golden.channels[index] : []
        let shown = index < golden.display.count ? golden.display[index] : []
        let names = [inFile, shown].compactMap { $0.count > 1 ? $0[1] : nil }.filter { !$0.isEmpty }
        #expect(channel.name == names.first ?? "Channel \(index + 1)", "\(file)")
        let colors = [inFile.count > 3 ? inFile[3] : nil, shown.count > 2 ? shown[2] : nil].compactMap(\.self)
        #expect(channel.color?.hex == colors.first.map { String($0.suffix(6)) }, "\(file)")
        func number(_ values: [String?], _ place: Int) -> Double? {
          values.count > place ? values[place].flatMap { Double($0) } : nil
        }
        let bits = number(inFile, 7) ?? number(shown, 6)
        #expect(channel.validBits.map(Double.init) == bits, "\(file)")
        let (low, high, gamma) = (number(shown, 3), number(shown, 4), number(shown, 5))
        if low == nil, high == nil, gamma == nil {
          #expect(channel.display == nil, "\(file)")
        } else {
          #expect(channel.display == .init(low: low ?? 0, high: high ?? 1, gamma: gamma ?? 1), "\(file)")
        }
      }
      for scene in golden.scenes {
        let name = scene[1]
        // A file may be cut out of a larger one and still describe all scenes.
        guard let found = description.scenes.first(where: { String($0.index) == scene[0] }) else { continue }
        #expect(found.name == name, "\(file)")
        #expect(
          found.center.map { [$0.x, $0.y] } == scene[2].map { $0.split(separator: ",").compactMap { Double($0) } })
        #expect(found.well == scene[4], "\(file)")
      }
      compared += 1
    }
    #expect(compared == 21)
  }

  @Test func sizesOfRealFiles() throws {
    let stack = try Image(at: SharedData.path("czi/real/S3_1Pos_2Mosaic_T2Z3_CH2_sm.czi")).description
    #expect(stack.format == "CZI" && stack.compressions == ["uncompressed"])
    #expect(stack.scenes.map(\.index) == [0, 1, 2] && stack.scenes.map(\.name) == ["TR1", "P1", "TR2"])
    #expect(stack.times == 2 && stack.depth == 3 && stack.axes == ["t", "c", "z"])
    #expect(stack.channels.map(\.name) == ["DAPI", "EGFP"])
    #expect(stack.channels.map(\.color?.hex) == ["00A1FF", "00FF5B"])
    #expect(stack.physicalSize == .init(x: 1.6, y: 1.6, z: 1))
    let airyscan = try Image(at: SharedData.path("czi/real/LSM880_AiryScan.czi")).description
    #expect(airyscan.furtherDimensions.map(\.name) == ["B", "H", "V"])
    #expect(airyscan.furtherDimensions.map(\.count) == [1, 32, 1])
    #expect(airyscan.channels.count == 8 && airyscan.channels[0].name == "ChA-T1")
    #expect(airyscan.channels[7].name == "ChA-T4#" && airyscan.channels[0].pixelType == .uint16)
    let plain = try Image(at: SharedData.path("czi/synthetic/raw_noM_noC_z3.czi")).description
    #expect(plain.axes == ["z"] && plain.depth == 3 && plain.channels.count == 1)
    let colour = try Image(at: SharedData.path("czi/real/RGB-8bit.czi")).description
    #expect(colour.channels.map(\.layout) == [.bgr] && colour.axes == ["t"])
  }

  @Test func theExample() throws {
    let example = try Image(at: SharedData.path("example/nuclei-mosaic.czi")).description
    #expect(example.scenes.map(\.box) == [Region(x: -1000, y: -500, width: 3480, height: 1040)])
    #expect(example.physicalSize.x == 0.5 && example.physicalSize.y == 0.5)
    #expect(example.channels.map(\.name) == ["DAPI"] && example.compressions == ["Zstd0"])
  }

  func metadata(_ text: String) throws -> CZIMetadata {
    try CZIMetadata(XMLTree(Array(text.utf8), file: "x").root)
  }

  @Test(arguments: [
    ("4E-07", 0.4), ("1e-007", 0.1), ("0.0000005", 0.5), ("9.0576674152210312E-08", 0.090576674152210312), ("0", nil),
    ("-1e-7", nil), ("nan", nil), ("inf", nil), ("", nil), ("1e-7m", nil),
  ])
  func metresBecomeMicrometres(_ text: String, _ expected: Double?) throws {
    let found = try metadata(
      """
      <ImageDocument><Metadata><Scaling><Items><Distance Id="X"><Value>\(text)</Value></Distance></Items></Scaling>
      </Metadata></ImageDocument>
      """)
    #expect(found.physicalSize.x == expected && found.physicalSize.y == nil)
  }

  @Test(arguments: [
    ("#FF00A1FF", "00A1FF"), ("#0000FF00", "00FF00"), ("#00ff00", "00FF00"), ("00FF00", nil), ("#00FF0", nil),
    ("#00GG00", nil), ("", nil),
  ])
  func colours(_ text: String, _ expected: String?) throws {
    let found = try metadata(
      """
      <ImageDocument><Metadata><Information><Image><Dimensions><Channels><Channel Id="Channel:2"><Color>\(text)</Color>
      </Channel></Channels></Dimensions></Image></Information><DisplaySetting><Channels>
      <Channel Name="first"/><Channel Id="Channel:2" Name="same"/></Channels></DisplaySetting></Metadata></ImageDocument>
      """)
    #expect(found.channels[0].color?.hex == expected)
    #expect(found.channels.map(\.name) == ["same", "same"])
  }
}
