// SPDX-License-Identifier: Apache-2.0
import KachelModels
import KachelPixels
import Testing

/// The first 24 colours that the czmodel tools give, as their own code printed them.
@Test func classColors() {
  let expected: [(UInt8, UInt8, UInt8)] = [
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 0), (254, 255, 0), (0, 254, 255), (0, 255, 127), (255, 0, 127),
    (127, 0, 255), (255, 127, 0), (127, 255, 0), (0, 127, 255), (0, 255, 170), (255, 0, 84), (169, 0, 255),
    (255, 170, 0), (85, 255, 0), (0, 84, 255), (0, 255, 191), (255, 0, 63), (191, 0, 255), (255, 191, 0), (63, 255, 0),
    (0, 63, 255),
  ]
  #expect(ClassColors.colors(count: 24) == expected.map { RGB(red: $0.0, green: $0.1, blue: $0.2) })
  #expect(ClassColors.colors(count: 0).isEmpty)
  #expect(ClassColors.colors(count: 5000).count == 5000)
}
