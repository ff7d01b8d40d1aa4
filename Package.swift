// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

let settings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]
/// Pixel loops are 20 to 400 times slower without optimisation, so they are optimised in debug builds too.
let pixelSettings = settings + [.unsafeFlags(["-O"], .when(configuration: .debug))]

func systemLibrary(_ name: String, pkgConfig: String, apt: String, brew: String) -> Target {
  .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([apt]), .brew([brew])])
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: [.init(stringLiteral: name), "KachelTesting"] + dependencies,
    exclude: exclude, swiftSettings: settings)
}

let package = Package(
  name: "kachel",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "Kachel", targets: ["Kachel"]),
    .executable(name: "kachel", targets: ["KachelCommand"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
  ],
  targets: [
    systemLibrary("CZstd", pkgConfig: "libzstd", apt: "libzstd-dev", brew: "zstd"),
    systemLibrary("CBlosc", pkgConfig: "blosc", apt: "libblosc-dev", brew: "c-blosc"),
    systemLibrary("CLZ4", pkgConfig: "liblz4", apt: "liblz4-dev", brew: "lz4"),
    systemLibrary("CZlib", pkgConfig: "zlib", apt: "zlib1g-dev", brew: "zlib"),
    systemLibrary("CDeflate", pkgConfig: "libdeflate", apt: "libdeflate-dev", brew: "libdeflate"),
    systemLibrary("CZip", pkgConfig: "libzip", apt: "libzip-dev", brew: "libzip"),
    systemLibrary("CSpng", pkgConfig: "spng", apt: "libspng-dev", brew: "libspng"),
    systemLibrary("CTIFF", pkgConfig: "libtiff-4", apt: "libtiff-dev", brew: "libtiff"),
    systemLibrary("CTurboJPEG", pkgConfig: "libturbojpeg", apt: "libturbojpeg0-dev", brew: "jpeg-turbo"),
    systemLibrary("CCrypto", pkgConfig: "libcrypto", apt: "libssl-dev", brew: "openssl@3"),

    .target(name: "KachelBytes", dependencies: ["CZstd", "CDeflate", "CZip", "CCrypto"], swiftSettings: settings),
    .target(name: "KachelPixels", swiftSettings: pixelSettings),
    // Not by pkg-config: SwiftPM warns of the macros in libjxr.pc with every build.
    .target(
      name: "CKachelJXR", exclude: ["headers"],
      cSettings: [.define("__ANSI__"), .define("DISABLE_PERF_MEASUREMENT"), .headerSearchPath("headers")],
      linkerSettings: [.linkedLibrary("jxrglue"), .linkedLibrary("jpegxr")]),
    .target(
      name: "KachelImages",
      dependencies: [
        "KachelBytes", "KachelPixels", "CSpng", "CTIFF", "CTurboJPEG", "CKachelJXR", "CBlosc", "CLZ4", "CZlib",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ],
      swiftSettings: settings),
    .target(
      name: "KachelModels",
      dependencies: [
        "KachelBytes", "KachelPixels", .product(name: "SwiftProtobuf", package: "swift-protobuf"),
        .product(name: "Yams", package: "Yams"),
      ],
      exclude: ["Generated/README.md", "ONNX/onnx.proto", "TensorFlow/saved_model.proto"],
      swiftSettings: settings),
    .target(name: "CKachelEngines", cSettings: [.define("_GNU_SOURCE")]),
    .target(name: "KachelEngines", dependencies: ["CKachelEngines"], swiftSettings: settings),
    .target(
      name: "KachelSegmentation",
      dependencies: ["KachelBytes", "KachelPixels", "KachelImages", "KachelModels", "KachelEngines"],
      swiftSettings: settings),
    .target(name: "Kachel", dependencies: ["KachelSegmentation"], swiftSettings: settings),
    .executableTarget(
      name: "KachelCommand",
      dependencies: ["Kachel", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      swiftSettings: settings),

    .target(
      name: "KachelTesting",
      dependencies: [
        "KachelBytes", "KachelPixels", "KachelImages", "CCrypto", .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ],
      path: "Tests/KachelTesting",
      swiftSettings: settings),
    tests("KachelBytes", []),
    tests("KachelPixels", []),
    tests("KachelImages", ["KachelEngines", "KachelBytes", "KachelPixels"]),
    tests(
      "KachelModels",
      ["KachelEngines", "KachelBytes", "KachelPixels", .product(name: "SwiftProtobuf", package: "swift-protobuf")]),
    tests("KachelEngines", ["KachelModels", "KachelBytes", "CZip"]),
    tests("KachelSegmentation", ["KachelImages", "KachelModels", "KachelEngines", "KachelBytes", "KachelPixels"]),
    tests("KachelCommand", ["Kachel"], exclude: ["Snapshots"]),
  ]
)
