/**
 * Genuine quotes of Intel's machines, and Intel's own word on one of them, which the
 * project does not contain: what each is, and that no byte of one can be changed.
 *
 * They are read from ../shared/vectors beside the project, or from the directory that
 * PCRLOG_VECTORS names. Without them these tests are skipped; in CI they fail.
 */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { decodeInput, genuine, recognise } from "../attestation.js";
import { anchor } from "../attestation/certificates.js";
import { ES256 } from "../attestation/ecdsa.js";
import { builtin } from "../attestation/roots.js";
import * as crl from "../attestation/sgx/crl.js";
import { encodeBase64, encodeHex, encodeText, joinBytes, sha256 } from "../encoding.js";
import {
  MalformedError,
  PcrlogError,
  UncheckedError,
  VerificationError,
} from "../errors.js";

/** @import { Trust } from "../attestation/platform.js" */
/** @import { Bytes } from "../encoding.js" */

const BESIDE = fileURLToPath(new URL("../../../../shared/vectors", import.meta.url));
const FOLDER = `${process.env["PCRLOG_VECTORS"] || BESIDE}/sgx`;
const absent = !existsSync(FOLDER) && process.env["CI"] !== "true";
const options = { skip: absent && `no known answers in ${FOLDER}` };

const ROOTS = builtin("intel-sgx");
/** All PCK certificates are valid then, and Phala's collateral is. */
const JULY_2025 = Date.UTC(2025, 6, 1) / 1000;
const OF_COLLATERAL = [
  "document.collateral",
  "document.revocation",
  "document.qe-identity",
  "document.tcb",
];
const STATUS = "ConfigurationAndSWHardeningNeeded";
const ACCEPTED = {
  tcb: [STATUS],
  advisories: ["INTEL-SA-00289", "INTEL-SA-00615"],
};

/** @param {string} name */
function load(name) {
  return Uint8Array.from(readFileSync(`${FOLDER}/${name}`));
}

/** @returns {{ name: string, mrenclave: string, mrsigner: string, debug: boolean }[]} */
function listed() {
  const lines = readFileSync(`${FOLDER}/INDEX.md`, "utf8").split("\n");
  return lines.flatMap((line) => {
    const [, name = "", , mrenclave = "", mrsigner = "", debug] = line
      .split("|")
      .map((cell) => cell.trim());
    const quote = name.endsWith(".bin") || name.endsWith(".evidence");
    return quote ? [{ name, mrenclave, mrsigner, debug: debug === "True" }] : [];
  });
}

/**
 * @param {Bytes} data
 * @param {Partial<Trust>} [trust]
 */
async function verify(data, trust) {
  const all = { roots: ROOTS, now: JULY_2025, ...trust };
  return genuine("intel-sgx", decodeInput(data), all);
}

/** With Intel's word on its machine. */
function phala() {
  return {
    quote: load("phala_sgx_quote.bin"),
    trust: { collateral: load("phala_sgx_quote_collateral.json"), ...ACCEPTED },
  };
}

test("genuine quotes say what they are known to say", options, async () => {
  const bad = [
    "fortanix_quote_pck_cert_chain_corrupted.bin",
    "oasis_quote_v3_eppid.bin",
  ];
  const good = listed().filter(({ name }) => !bad.includes(name));
  assert.equal(good.length, 5);
  for (const { name, mrenclave, mrsigner, debug } of good) {
    const [document, unmade] = await verify(load(name));
    assert.ok(document.registers.get("MRENCLAVE")?.startsWith(`sha256:${mrenclave}`));
    assert.ok(document.registers.get("MRSIGNER")?.startsWith(`sha256:${mrsigner}`));
    assert.equal(document.debug !== "", debug, name);
    assert.equal(document.time, null);
    assert.deepEqual([...document.numbers.keys()], ["ISVPRODID", "ISVSVN"]);
    assert.deepEqual(
      unmade.map(({ check }) => check),
      OF_COLLATERAL,
    );
    const [root] = ROOTS;
    assert.equal(document.rootSha256, root && encodeHex(await sha256(root)));
  }
});

test("bad quotes fail the step they are known to fail", options, async () => {
  await assert.rejects(
    verify(load("fortanix_quote_pck_cert_chain_corrupted.bin")),
    (error) =>
      error instanceof VerificationError &&
      error.message.startsWith("document.signature: "),
  );
  await assert.rejects(
    verify(load("oasis_quote_v3_eppid.bin")),
    (error) =>
      error instanceof UncheckedError &&
      error.message.startsWith("document.chain: the quote has certification data of"),
  );
});

test("Intel's word on a machine is taken while it holds", options, async () => {
  const { quote, trust } = phala();
  const [, unmade] = await verify(quote, trust);
  assert.deepEqual(unmade, []);
  await assert.rejects(
    verify(quote, { ...trust, tcb: ["UpToDate"] }),
    new RegExp(`document.tcb: ${STATUS}.*to accept it, add "${STATUS}" to tcb`),
  );
  await assert.rejects(
    verify(quote, { ...trust, advisories: ["INTEL-SA-00289"] }),
    /add INTEL-SA-00615 to advisories/,
  );
  const ends = Date.UTC(2025, 6, 19, 10, 1, 18) / 1000;
  assert.deepEqual((await verify(quote, { ...trust, now: ends }))[1], []);
  for (const now of [ends + 1, Date.UTC(2025, 5, 19) / 1000]) {
    const [, late] = await verify(quote, { ...trust, now });
    assert.deepEqual(
      late.map(({ check }) => check),
      OF_COLLATERAL,
    );
    assert.match(late[0]?.found ?? "", /get the collateral of today/);
  }
  const skewed = await verify(quote, { ...trust, now: ends + 300, skew: 300 });
  assert.deepEqual(skewed[1], []);
});

test("Intel's word on another machine says nothing of this one", options, async () => {
  const { trust } = phala();
  for (const name of ["openenclave_sgx_quote.bin", "signal_dcap_v3.evidence"]) {
    const [, unmade] = await verify(load(name), trust);
    assert.equal(unmade.length, OF_COLLATERAL.length);
    assert.match(unmade[0]?.found ?? "", /for this machine$/);
  }
});

test("no byte of a genuine quote can be changed", options, async () => {
  const { quote } = phala();
  for (const [at, byte] of quote.entries()) {
    const changed = quote.slice();
    changed[at] = byte ^ (1 << at % 8);
    await assert.rejects(verify(changed), PcrlogError, `byte ${at}`);
  }
});

test("no byte of Intel's word can be changed to another word", options, async () => {
  const { quote, trust } = phala();
  const whole = trust.collateral;
  const [expected] = await verify(quote, trust);
  for (let at = 0; at < whole.length; at += 5) {
    const changed = whole.slice();
    changed[at] = (whole[at] ?? 0) ^ (1 << at % 8);
    const outcome = await verify(quote, { ...trust, collateral: changed }).catch(
      (/** @type {unknown} */ error) => error,
    );
    if (outcome instanceof VerificationError) continue;
    // White space between the members of the file, or a name in it that is another CA's.
    assert.ok(Array.isArray(outcome), `byte ${at}: ${outcome}`);
    const [document, unmade] = outcome;
    assert.deepEqual(document.registers, expected.registers);
    if (unmade.length === 0) assert.match(String.fromCharCode(whole[at] ?? 0), /\s/);
  }
});

test("no beginning of a genuine quote is one", options, async () => {
  const { quote } = phala();
  for (let end = 0; end < quote.length - 1; end += 1) {
    await assert.rejects(verify(quote.slice(0, end)), MalformedError, `${end} bytes`);
  }
});

test("what stands around a quote is not signed, and noted", options, async () => {
  const { quote } = phala();
  const [expected] = await verify(quote);
  const [longer] = await verify(joinBytes(quote, Uint8Array.of(1, 2)));
  assert.deepEqual(longer.notes.length, expected.notes.length + 1);
  assert.match(
    longer.notes.at(-1) ?? "",
    /^2 bytes after the quote, which nothing signs/,
  );
  const size = Uint8Array.of(quote.length & 0xff, quote.length >> 8, 0, 0, 0, 0, 0, 0);
  const header = joinBytes(Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0), size);
  const [wrapped] = await verify(joinBytes(header, quote));
  assert.deepEqual(wrapped.registers, expected.registers);
  assert.match(
    wrapped.notes[0] ?? "",
    /^before the quote stands Open Enclave's report/,
  );
  await assert.rejects(verify(joinBytes(header, quote.slice(0, -1))), MalformedError);
  const [signal] = await verify(load("signal_dcap_v3.evidence"));
  assert.deepEqual(signal.notes, [
    "67 bytes after the quote, whose SHA-256 is in its report data",
  ]);
});

test("a quote may come in base64 or hex, and is known for one", options, async () => {
  const { quote } = phala();
  const [expected] = await verify(quote);
  for (const text of [encodeBase64(quote), `${encodeHex(quote)}\n`]) {
    assert.deepEqual((await verify(encodeText(text)))[0], expected);
  }
  const [known] = await recognise(quote);
  assert.equal(known.name, "intel-sgx");
  await assert.rejects(recognise(quote, ["aws-nitro"]), MalformedError);
});

test(
  "only a root that is trusted will do, whatever its certificate",
  options,
  async () => {
    const { quote } = phala();
    await assert.rejects(verify(quote, { roots: [] }), /trusted roots, .*: none/);
    await assert.rejects(
      verify(quote, { roots: builtin("aws-nitro") }),
      VerificationError,
    );
    const older = load("fortanix_root_SGX_CA.der");
    const [document] = await verify(quote, { roots: [older] });
    assert.equal(document.rootSha256, encodeHex(await sha256(older)));
  },
);

test(
  "a list of revoked certificates is Intel's, or it is refused",
  options,
  async () => {
    const [rootDer] = ROOTS;
    assert.ok(rootDer);
    const root = await anchor(ES256, rootDer);
    const { trust } = phala();
    const file = JSON.parse(new TextDecoder().decode(trust.collateral));
    const hex = String(file.root_ca_crl);
    assert.equal((await crl.parse(hex, "root CRL").verify(root)).size, 0);
    await assert.rejects(
      crl.parse(String(file.pck_crl), "PCK CRL").verify(root),
      /found another's/,
    );
    for (let end = 0; end < hex.length; end += 2) {
      assert.throws(() => crl.parse(hex.slice(0, end), "root CRL"), MalformedError);
      const byte = parseInt(hex.slice(end, end + 2), 16) ^ (1 << (end / 2) % 8);
      const changed = byte.toString(16).padStart(2, "0");
      const other = hex.slice(0, end) + changed + hex.slice(end + 2);
      await assert.rejects(
        async () => crl.parse(other, "root CRL").verify(root),
        PcrlogError,
        `byte ${end / 2}`,
      );
    }
  },
);
