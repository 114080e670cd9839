/**
 * The vendors' roots of trust that come with pcrlog.
 *
 * A policy that says `roots = ["builtin"]` gets these; one that trusts a partition with a
 * root of its own names that root's PEM instead. SHA-256 of the DER:
 *
 *     AWS Nitro Enclaves root G1
 *     641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b
 *
 * To compare by hand: `openssl x509 -in FILE -outform DER | sha256sum`.
 */

import { decodeBase64, shown } from "../encoding.js";
import { MalformedError, UsageError } from "../errors.js";

/** @import { Bytes } from "../encoding.js" */

const BEGIN = "-----BEGIN CERTIFICATE-----";
const END = "-----END CERTIFICATE-----";
// Of other characters no two languages agree which are white space, or end a line.
const STRANGE = /[^\t\n\r -~]/;

const AWS_NITRO_G1 = `
-----BEGIN CERTIFICATE-----
MIICETCCAZagAwIBAgIRAPkxdWgbkK/hHUbMtOTn+FYwCgYIKoZIzj0EAwMwSTEL
MAkGA1UEBhMCVVMxDzANBgNVBAoMBkFtYXpvbjEMMAoGA1UECwwDQVdTMRswGQYD
VQQDDBJhd3Mubml0cm8tZW5jbGF2ZXMwHhcNMTkxMDI4MTMyODA1WhcNNDkxMDI4
MTQyODA1WjBJMQswCQYDVQQGEwJVUzEPMA0GA1UECgwGQW1hem9uMQwwCgYDVQQL
DANBV1MxGzAZBgNVBAMMEmF3cy5uaXRyby1lbmNsYXZlczB2MBAGByqGSM49AgEG
BSuBBAAiA2IABPwCVOumCMHzaHDimtqQvkY4MpJzbolL//Zy2YlES1BR5TSksfbb
48C8WBoyt7F2Bw7eEtaaP+ohG2bnUs990d0JX28TcPQXCEPZ3BABIeTPYwEoCWZE
h8l5YoQwTcU/9KNCMEAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUkCW1DdkF
R+eWw5b6cp3PmanfS5YwDgYDVR0PAQH/BAQDAgGGMAoGCCqGSM49BAMDA2kAMGYC
MQCjfy+Rocm9Xue4YnwWmNJVA44fA0P5W2OpYow9OYCVRaEevL8uO1XYru5xtMPW
rfMCMQCi85sWBbJwKKXdS6BptQFuZbT73o/gBh1qUxl/nNr12UO8Yfwr6wPLb+6N
IwLz3/Y=
-----END CERTIFICATE-----
`;

const PEM = new Map([["aws-nitro", [AWS_NITRO_G1]]]);

/**
 * The roots (DER certificates) of `platform`.
 * @param {string} platform
 * @returns {Bytes[]}
 * @throws {UsageError} pcrlog comes with no root for such a platform
 */
export function builtin(platform) {
  const pems = PEM.get(platform);
  if (pems === undefined) {
    const known = [...PEM.keys()].join(", ");
    throw new UsageError(`no builtin roots for ${shown(platform)}, only for ${known}`);
  }
  return pems.map(fromPem);
}

/**
 * The DER of one certificate in PEM, as a policy spells a root of its own.
 * @param {string} pem
 * @returns {Bytes}
 * @throws {UsageError} not exactly one certificate, or characters that PEM has not
 */
export function fromPem(pem) {
  const lines = pem.trim().split(/\r\n|\n|\r/);
  if (STRANGE.test(pem) || lines[0] !== BEGIN || lines.at(-1) !== END) {
    throw new UsageError(
      "a root is one certificate in PEM, from BEGIN to END CERTIFICATE",
    );
  }
  try {
    return decodeBase64(lines.slice(1, -1).join(""));
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new UsageError(`root in PEM: ${error.message}`);
  }
}
