// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// Built by `Fuzz/run` only, which knows how to instrument Kachel itself and where libFuzzer is.
let package = Package(
  name: "kachel-fuzz",
  platforms: [.macOS(.v15)],
  dependencies: [.package(name: "kachel", path: "..")],
  targets: [
    .systemLibrary(name: "CLibFuzzer"),
    .executableTarget(
      name: "KachelFuzz",
      dependencies: ["CLibFuzzer", .product(name: "Kachel", package: "kachel")],
      swiftSettings: [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
      ]),
  ]
)
