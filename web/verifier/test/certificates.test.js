/**
 * Certificates that no honest authority makes, signed by one made here: DER in another
 * form than its one, and chains that could be read in two ways.
 */

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { keyOf } from "../attestation/certificates.js";
import * as chain from "../attestation/chain.js";
import { ES384 } from "../attestation/ecdsa.js";
import { fromPem } from "../attestation/roots.js";
import * as x509 from "../attestation/x509.js";
import { decodeHex, encodeText, joinBytes } from "../encoding.js";
import { MalformedError, UsageError, VerificationError } from "../errors.js";

/** @import { Bytes } from "../encoding.js" */
/** @typedef {CryptoKeyPair & { spki: Bytes }} Keys */
/**
 * How a certificate differs from an honest one.
 * @typedef {object} Changes
 * @property {Bytes} [version]
 * @property {Bytes} [serial]
 * @property {Bytes} [algorithm] inside of what is signed
 * @property {Bytes} [outerAlgorithm]
 * @property {Bytes} [issuer]
 * @property {Bytes} [validity]
 * @property {Bytes} [subject]
 * @property {Bytes} [spki]
 * @property {Bytes[]} [extensions]
 * @property {Bytes} [after] bytes after the extensions
 * @property {(signature: Bytes) => Bytes} [sign] what becomes of the signature, r || s
 */

const TIME = 1_795_417_200;
const P384 = { name: "ECDSA", namedCurve: "P-384" };
const CURVE = decodeHex("06072a8648ce3d020106052b81040022");
const SHA384_ECDSA = decodeHex("300a06082a8648ce3d040303");
const SHA256_ECDSA = decodeHex("300a06082a8648ce3d040302");
const VALIDITY = element(
  0x30,
  time(0x17, "200101000000Z"),
  time(0x17, "491231235959Z"),
);
const CA_USAGE = extension("551d0f", true, "03020106");
const LEAF_USAGE = extension("551d0f", false, "03020780");
const NO_CA = extension("551d13", true, "3000");

/** @type {Keys} */
let rootKeys;
/** @type {Keys} */
let caKeys;
/** @type {Keys} */
let leafKeys;

before(async () => {
  [rootKeys, caKeys, leafKeys] = await Promise.all([
    generate(),
    generate(),
    generate(),
  ]);
});

// --- an authority --------------------------------------------------------------------

/** @returns {Promise<Keys>} */
async function generate() {
  const pair = await crypto.subtle.generateKey(P384, true, ["sign", "verify"]);
  const spki = await crypto.subtle.exportKey("spki", pair.publicKey);
  return { ...pair, spki: new Uint8Array(spki) };
}

/**
 * A DER element.
 * @param {number} tag
 * @param {...Bytes} parts
 */
function element(tag, ...parts) {
  const content = joinBytes(...parts);
  const size = content.length;
  const length =
    size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return joinBytes(Uint8Array.of(tag, ...length), content);
}

/**
 * @param {number} tag
 * @param {string} text
 */
function time(tag, text) {
  return element(tag, encodeText(text));
}

/**
 * A Name of one common name, as a UTF8String.
 * @param {string} text
 * @param {number} [tag]
 */
function named(text, tag = 0x0c) {
  return element(
    0x30,
    element(0x31, attribute("550403", element(tag, encodeText(text)))),
  );
}

/**
 * @param {string} type
 * @param {Bytes} value
 */
function attribute(type, value) {
  return element(0x30, element(0x06, decodeHex(type)), value);
}

/**
 * @param {string} name
 * @param {boolean} critical
 * @param {string} value
 */
function extension(name, critical, value) {
  const flag = critical ? decodeHex("0101ff") : new Uint8Array();
  const octets = element(0x04, decodeHex(value));
  return element(0x30, element(0x06, decodeHex(name)), flag, octets);
}

/** @param {number | null} length */
function caOf(length) {
  const constraint =
    length === null ? "" : `0201${length.toString(16).padStart(2, "0")}`;
  const content = `0101ff${constraint}`;
  const size = (content.length / 2).toString(16).padStart(2, "0");
  return [extension("551d13", true, `30${size}${content}`), CA_USAGE];
}

/** @param {Bytes} number */
function integer(number) {
  const digits = number.subarray(
    Math.max(
      0,
      number.findIndex((byte) => byte !== 0),
    ),
  );
  const zero = (digits[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array();
  return element(0x02, zero, digits);
}

/** @param {Bytes} raw */
function derSignature(raw) {
  return element(0x30, integer(raw.subarray(0, 48)), integer(raw.subarray(48)));
}

/**
 * A certificate of `subject` by `issuer`, which is honest but for the changes.
 * @param {[name: string, keys: Keys]} subject
 * @param {[name: string, keys: Keys]} issuer
 * @param {Changes} changes
 */
async function certificate([name, keys], [issuer, issuerKeys], changes = {}) {
  const listed = changes.extensions ?? [NO_CA, LEAF_USAGE];
  const signed = element(
    0x30,
    changes.version ?? decodeHex("a003020102"),
    changes.serial ?? decodeHex("020101"),
    changes.algorithm ?? SHA384_ECDSA,
    changes.issuer ?? named(issuer),
    changes.validity ?? VALIDITY,
    changes.subject ?? named(name),
    changes.spki ?? keys.spki,
    listed.length > 0 ? element(0xa3, element(0x30, ...listed)) : new Uint8Array(),
    changes.after ?? new Uint8Array(),
  );
  const hash = { name: "ECDSA", hash: "SHA-384" };
  const raw = new Uint8Array(
    await crypto.subtle.sign(hash, issuerKeys.privateKey, signed),
  );
  const signature = (changes.sign ?? derSignature)(raw);
  const bits = element(0x03, Uint8Array.of(0), signature);
  return element(0x30, signed, changes.outerAlgorithm ?? SHA384_ECDSA, bits);
}

/**
 * Load and verify a root, CAs and a leaf.
 * @param {Bytes[]} certificates
 * @param {Bytes[]} [roots]
 */
async function verify(certificates, roots) {
  const [root] = certificates;
  const leaf = certificates.at(-1);
  assert.ok(root && leaf);
  const loaded = await chain.load(certificates.slice(0, -1), leaf);
  return chain.verify(loaded, roots ?? [root], TIME);
}

/** @param {Changes} [changes] */
function makeRoot(changes) {
  return certificate(["root", rootKeys], ["root", rootKeys], {
    extensions: caOf(null),
    ...changes,
  });
}

/** @param {Changes} [changes] */
function makeCa(changes) {
  return certificate(["ca", caKeys], ["root", rootKeys], {
    extensions: caOf(0),
    ...changes,
  });
}

/** @param {Changes} [changes] */
function makeLeaf(changes) {
  return certificate(["leaf", leafKeys], ["ca", caKeys], changes);
}

/**
 * The honest chain, its leaf changed.
 * @param {Changes} [changes]
 */
async function withLeaf(changes) {
  return verify([await makeRoot(), await makeCa(), await makeLeaf(changes)]);
}

/**
 * @param {Changes} changes
 * @param {RegExp} [message]
 */
async function unreadable(changes, message = /./) {
  const leaf = await makeLeaf(changes);
  await assert.rejects(x509.read(ES384, leaf), (error) => {
    assert.ok(error instanceof MalformedError, String(error));
    assert.match(error.message, /^not a readable certificate: /);
    assert.match(error.message, message);
    return true;
  });
}

// --- reading -------------------------------------------------------------------------

test("the honest chain holds, and says whose leaf it is", async () => {
  const leaf = await withLeaf();
  assert.equal(leaf.commonName, "leaf");
  assert.equal(leaf.notBefore, Date.UTC(2020, 0, 1) / 1000);
  assert.equal(leaf.notAfter, Date.UTC(2049, 11, 31, 23, 59, 59) / 1000);
});

test("version 3 alone is read", async () => {
  for (const version of [
    "",
    "a003020100",
    "a003020101",
    "a003020103",
    "a00402020002",
  ]) {
    await unreadable({ version: decodeHex(version) });
  }
});

test("a serial number is positive, minimal, and not too long", async () => {
  const longest = decodeHex(`0215${"00"}${"ff".repeat(20)}`);
  assert.equal((await withLeaf({ serial: longest })).commonName, "leaf");
  for (const serial of ["0200", "0201ff", "02020001", `0215${"7f".repeat(21)}`]) {
    await unreadable({ serial: decodeHex(serial) });
  }
});

test("times have seconds and Z, and each year one form", async () => {
  const late = element(
    0x30,
    time(0x17, "200101000000Z"),
    time(0x18, "20500101000000Z"),
  );
  assert.equal((await withLeaf({ validity: late })).notAfter, 2_524_608_000);
  const others = [
    time(0x17, "2001010000Z"),
    time(0x17, "200101000000"),
    time(0x17, "200101000000+0000"),
    time(0x17, "200230000000Z"),
    time(0x17, "200101240000Z"),
    time(0x17, "20010100000٠Z"),
    time(0x18, "20200101000000Z"),
    time(0x18, "20500101000000.5Z"),
    time(0x18, "20500101000000"),
    time(0x0c, "200101000000Z"),
  ];
  for (const other of others) {
    const validity = element(0x30, other, time(0x18, "20500101000000Z"));
    await unreadable({ validity });
  }
});

test("extensions stand once each, and defaults are left out", async () => {
  await unreadable({ extensions: [NO_CA, LEAF_USAGE, NO_CA] }, /stands twice/);
  await unreadable({ extensions: [NO_CA, element(0x30)] });
  const written = element(
    0x30,
    decodeHex("0603551d0f"),
    decodeHex("010100"),
    decodeHex("040403020780"),
  );
  await unreadable({ extensions: [NO_CA, written] }, /default/);
  await unreadable({
    extensions: [LEAF_USAGE, extension("551d13", true, "3003010100")],
  });
  await unreadable({ after: element(0x05) }, /bytes more/);
});

test("a leaf has no path length, and none is beyond 255", async () => {
  await unreadable({
    extensions: [extension("551d13", true, "3003020100"), LEAF_USAGE],
  });
  const long = extension("551d13", true, "30070101ff02020100");
  await unreadable({ extensions: [long, CA_USAGE] }, /path length/);
});

test("a key usage ends in a bit that is set", async () => {
  for (const usage of ["03020080", "03020600", "030100", "03020880", "0303078000"]) {
    const extensions = [NO_CA, extension("551d0f", false, usage)];
    await unreadable({ extensions });
  }
});

test("a key is one uncompressed point of P-384", async () => {
  const { spki } = leafKeys;
  const point = spki.subarray(-97);
  const x = point.subarray(1, 49);
  /** @param {...Bytes} parts */
  const keyOf = (...parts) =>
    element(0x30, element(0x30, CURVE), element(0x03, Uint8Array.of(0), ...parts));
  assert.deepEqual(keyOf(point), spki);
  const odd = (point[96] ?? 0) & 1;
  await unreadable({ spki: keyOf(Uint8Array.of(2 + odd), x) }, /uncompressed/);
  await unreadable({ spki: keyOf(Uint8Array.of(6 + odd), point.subarray(1)) });
  await unreadable({ spki: keyOf(Uint8Array.of(4), x, x) }, /not a point/);
  await unreadable({ spki: keyOf(Uint8Array.of(0)) });
});

test("a key of another algorithm is read, and never used", async () => {
  const pair = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  const read = await x509.read(ES384, await makeLeaf({ spki }));
  assert.equal(read.key, null);
  assert.throws(() => keyOf(read), VerificationError);
  await assert.rejects(withLeaf({ spki }), /expected a P-384 key/);
});

test("names are read for people, and compared as bytes", async () => {
  const printable = await withLeaf({ subject: named("other", 0x13) });
  assert.equal(printable.commonName, "other");
  const broken = element(0x0c, Uint8Array.of(0xff));
  const subject = element(0x30, element(0x31, attribute("550403", broken)));
  assert.equal((await withLeaf({ subject })).commonName, "");
  assert.equal((await withLeaf({ subject: element(0x30) })).commonName, "");
  // The same letters in another type of string are another name.
  const issuer = named("ca", 0x13);
  await assert.rejects(withLeaf({ issuer }), /not the one above/);
  await unreadable({ subject: named("wide", 0x1e) });
  await unreadable({ subject: element(0x30, element(0x31)) });
});

test("a set in a name is in order", async () => {
  const one = attribute("550403", element(0x0c, encodeText("a")));
  const two = attribute("55040a", element(0x0c, encodeText("b")));
  const ordered = element(0x30, element(0x31, one, two));
  assert.equal((await withLeaf({ subject: ordered })).commonName, "a");
  await unreadable({ subject: element(0x30, element(0x31, two, one)) }, /in order/);
});

test("an object identifier has no leading zeros, and an end", async () => {
  for (const name of ["80551d0f", "551d80", "551d8001", "55ff", ""]) {
    await unreadable({ extensions: [NO_CA, extension(name, false, "0500")] });
  }
});

// --- chains --------------------------------------------------------------------------

test("a signature is two integers in DER, each in its one form", async () => {
  const forms = [
    (/** @type {Bytes} */ raw) => raw,
    (/** @type {Bytes} */ raw) => joinBytes(derSignature(raw), Uint8Array.of(0)),
    (/** @type {Bytes} */ raw) =>
      element(
        0x30,
        element(0x02, Uint8Array.of(0, 0), raw.subarray(0, 48)),
        integer(raw.subarray(48)),
      ),
    (/** @type {Bytes} */ raw) => element(0x30, integer(raw.subarray(0, 48))),
    (/** @type {Bytes} */ raw) =>
      element(0x30, integer(raw.subarray(48)), integer(raw.subarray(0, 48))),
    () => decodeHex("3006020100020100"),
    () => new Uint8Array(),
  ];
  for (const sign of forms) {
    await assert.rejects(withLeaf({ sign }), VerificationError, sign.toString());
  }
});

test("the algorithm is named twice, and is ECDSA with SHA-384 both times", async () => {
  const others = [SHA256_ECDSA, decodeHex("300c06082a8648ce3d0403030500")];
  for (const other of others) {
    const message = /ecdsa-with-SHA384/;
    await assert.rejects(withLeaf({ algorithm: other }), message);
    await assert.rejects(withLeaf({ outerAlgorithm: other }), message);
  }
});

test("no two of root and CAs have one name: there is one path alone", async () => {
  const root = await makeRoot();
  const again = await makeRoot({ serial: decodeHex("020102") });
  const leaf = await certificate(["leaf", leafKeys], ["root", rootKeys]);
  assert.equal((await verify([root, leaf])).commonName, "leaf");
  // A root that was renewed under its own key: the leaf hangs from either.
  await assert.rejects(verify([root, again, leaf]), /two CAs have one name/);
  await assert.rejects(verify([root, root, leaf]), /two CAs have one name/);
  const renamed = await certificate(["root", caKeys], ["root", rootKeys], {
    extensions: caOf(null),
  });
  const below = await certificate(["leaf", leafKeys], ["root", caKeys]);
  await assert.rejects(verify([root, renamed, below]), /two CAs have one name/);
});

test("a root in PEM is ASCII, whatever white space a language knows", () => {
  const lines = ["-----BEGIN CERTIFICATE-----", "AQI=", "-----END CERTIFICATE-----"];
  for (const end of ["\n", "\r\n"]) {
    assert.deepEqual(fromPem(lines.join(end) + end), Uint8Array.of(1, 2));
  }
  const strange = ["\u2028", "\x0b", "\x85"].map((end) => lines.join(end));
  for (const pem of [...strange, `\ufeff${lines.join("\n")}`, "", lines[0]]) {
    assert.throws(() => fromPem(pem), UsageError);
  }
});

test("a trusted root that is no certificate is a mistake in the policy", async () => {
  const junk = encodeText("junk");
  const certificates = [junk, await makeCa(), await makeLeaf()];
  await assert.rejects(verify(certificates), UsageError);
  await assert.rejects(verify(certificates, [await makeRoot()]), VerificationError);
});

test("a certificate is one in DER, whatever byte is changed", async () => {
  const honest = [await makeRoot(), await makeCa(), await makeLeaf()];
  const [root, ca, leaf] = honest;
  assert.ok(root && ca && leaf);
  for (const [place, whole] of honest.entries()) {
    for (const at of whole.keys()) {
      const changed = whole.slice();
      changed[at] = (whole[at] ?? 0) ^ (1 << at % 8);
      const certificates = honest.map((one, position) =>
        position === place ? changed : one,
      );
      await assert.rejects(verify(certificates, [root]), (error) => {
        assert.ok(
          error instanceof MalformedError || error instanceof VerificationError,
        );
        return true;
      });
    }
  }
});

test("a certificate cut anywhere is unreadable", async () => {
  const leaf = await makeLeaf();
  for (let end = 0; end < leaf.length; end += 1) {
    await assert.rejects(
      x509.read(ES384, leaf.slice(0, end)),
      MalformedError,
      `${end} bytes`,
    );
  }
});
