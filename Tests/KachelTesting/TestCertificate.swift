// SPDX-License-Identifier: Apache-2.0
internal import NIOSSL

/// A certificate that a server on this machine shows, for `localhost` and 127.0.0.1, signed by itself. Made for tests
/// and known to everybody.
public enum TestCertificate {
  public static let pem = """
    -----BEGIN CERTIFICATE-----
    MIIBaDCCAQ2gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
    c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
    CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFtRHPMSy1QPbXk5
    D5mGCX0dwEAU1KLyexQYx0G9VhcjqBAiX67L/9gR8vWJM/BIDf9W/309rhTj+aPi
    rV4ynwijTjBMMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAPBgNVHRMBAf8E
    BTADAQH/MB0GA1UdDgQWBBQr3/4akw09S40D4dU0OJvcJ646PzAKBggqhkjOPQQD
    AgNJADBGAiEA1IjXMxyOkkuAOhpVxXWNPVH0mfu7HO8aPIQccuZJfmcCIQCRM8gi
    HavipbzGBh15mr8iKv09FJq/j03HtYnU2tOypA==
    -----END CERTIFICATE-----
    """

  private static let key = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgScCH/qRpqcAJiIHS
    SYs84rtmFJno4JXJvkrbbhNGp22hRANCAARbURzzEstUD215OQ+Zhgl9HcBAFNSi
    8nsUGMdBvVYXI6gQIl+uy//YEfL1iTPwSA3/Vv99Pa4U4/mj4q1eMp8I
    -----END PRIVATE KEY-----
    """

  static func serverContext() throws -> NIOSSLContext {
    try NIOSSLContext(
      configuration: .makeServerConfiguration(
        certificateChain: NIOSSLCertificate.fromPEMBytes(Array(pem.utf8)).map { .certificate($0) },
        privateKey: .privateKey(NIOSSLPrivateKey(bytes: Array(key.utf8), format: .pem))))
  }
}
