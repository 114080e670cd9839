/** TOML: what a policy may be written in, and what TOML itself forbids. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonText } from "../encoding.js";
import { MalformedError } from "../errors.js";
import { parseToml } from "../toml.js";

/**
 * @param {string} toml
 * @param {string} json
 */
const reads = (toml, json) => assert.equal(jsonText(parseToml(toml)), json);
/** @param {string} toml */
const refused = (toml) => assert.throws(() => parseToml(toml), MalformedError, toml);

test("keys are bare, quoted or dotted", () => {
  reads("a-_1 = 1", '{"a-_1":1}');
  reads('"a.b" = 1\n\'c d\' = 2\n"" = 3', '{"":3,"a.b":1,"c d":2}');
  reads('a . b."c" = 1\na.d = 2', '{"a":{"b":{"c":1},"d":2}}');
  for (const key of ["", ".", "a.", ".a", "a b", "a..b", "é", '"""a"""', "a\n"]) {
    refused(`${key} = 1`);
  }
});

test("names that mean something to this language mean nothing here", () => {
  reads(
    "__proto__ = 1\n[constructor]\nprototype = 2",
    '{"__proto__":1,"constructor":{"prototype":2}}',
  );
  reads("[__proto__]\na = 1", '{"__proto__":{"a":1}}');
  assert.equal(Object.getPrototypeOf(parseToml("")), null);
  assert.equal(/** @type {{ a?: unknown }} */ ({}).a, undefined);
});

test("strings have four forms", () => {
  reads(
    String.raw`a = "\b\t\n\f\r\"\\\u00e9\U0001F600"`,
    String.raw`{"a":"\b\t\n\f\r\"\\é😀"}`,
  );
  reads(String.raw`a = 'C:\x'`, String.raw`{"a":"C:\\x"}`);
  reads('a = """\none\r\ntwo"""', String.raw`{"a":"one\ntwo"}`);
  reads('a = """one \\\n\n   two"""', '{"a":"one two"}');
  reads('a = """"two"" quotes"""""', String.raw`{"a":"\"two\"\" quotes\"\""}`);
  reads("a = '''\n'one''two'''''", String.raw`{"a":"'one''two''"}`);
  const bad = [
    '"',
    '"\\x"',
    '"\\e"',
    '"\\ud800"',
    '"\\U00110000"',
    '"a\nb"',
    '"\u007f"',
    "'\u0001'",
    '"""',
    "'''",
    '"""\u0000"""',
    '"""a \\ b"""',
    '"a" b',
    "'a''",
  ];
  for (const text of bad) refused(`a = ${text}`);
});

test("integers have four bases, and 2^53-1 is the largest", () => {
  reads(
    "a = 1_000\nb = +7\nc = -0\nd = 0xdead_BEEF\ne = 0o17\nf = 0b101",
    '{"a":1000,"b":7,"c":0,"d":3735928559,"e":15,"f":5}',
  );
  reads("a = 9007199254740991", '{"a":9007199254740991}');
  const bad = [
    "9007199254740992",
    "-9007199254740992",
    "0xffffffffffffffff",
    "01",
    "1__0",
    "_1",
    "1_",
    "0x",
    "0X1",
    "-0x1",
    "+ 1",
    "1a",
    "9".repeat(100_000),
  ];
  for (const text of bad) refused(`a = ${text}`);
});

test("what no policy has is refused: floats, dates, times", () => {
  for (const text of [
    "1.5",
    "1e3",
    "7.0",
    "inf",
    "nan",
    "-inf",
    "2026-11-23",
    "07:30:00",
    "2026-11-23T00:00:00Z",
  ]) {
    refused(`a = ${text}`);
  }
});

test("arrays may take lines, inline tables may not", () => {
  reads("a = [ # one\n 1,\n\n 2, # two\n]\nb = [[], {}]", '{"a":[1,2],"b":[[],{}]}');
  reads("a = { b = 1, c.d = 2, c.e = [\n3] }", '{"a":{"b":1,"c":{"d":2,"e":[3]}}}');
  for (const text of [
    "[1,,2]",
    "[,]",
    "[1 2]",
    "[1",
    "{,}",
    "{b=1,}",
    "{b=1\n}",
    "{b=1 c=2}",
    "{b=1",
    "{b={},b.c=1}",
    "{b=1,b=1}",
  ]) {
    refused(`a = ${text}`);
  }
});

test("tables are named once, by a header or by keys", () => {
  reads("[a.b]\nx = 1\n[a]\ny = 2\n[a.c]", '{"a":{"b":{"x":1},"c":{},"y":2}}');
  reads(
    "[[a]]\nx = 1\n[a.b]\ny = 2\n[[a]]\n[a.b]",
    '{"a":[{"b":{"y":2},"x":1},{"b":{}}]}',
  );
  reads("a.b = 1\n[a.c]\nd = 2", '{"a":{"b":1,"c":{"d":2}}}');
  const bad = [
    "a = 1\na = 2",
    "[a]\n[a]",
    "[a.b]\n[a]\nb.c = 1",
    "a.b = 1\n[a]",
    "a.b = 1\na = 2",
    "a = 1\na.b = 2",
    "a = {}\na.b = 1",
    "a = {}\n[a.b]",
    "a = []\n[[a]]",
    "a = [{}]\n[a.b]",
    "[a]\n[[a]]",
    "[[a]]\n[a]",
    "[a.b]\n[[a]]",
    "[]",
    "[a",
    "[[a]",
    "[a]]",
    "[ [a] ]",
    "[a] b = 1",
  ];
  for (const text of bad) refused(text);
});

test("lines end in LF or CRLF, and comments hold no control characters", () => {
  reads("# é\r\na = 1 # b\r\n\t\n", '{"a":1}');
  for (const text of [
    "a = 1\rb = 2",
    "# \u0000",
    "# \r",
    "a = 1 b = 2",
    "\ufeffa = 1",
    "a",
    "a =",
    "= 1",
  ]) {
    refused(text);
  }
});

test("a message says which line", () => {
  assert.throws(() => parseToml("a = 1\n\nb = ?"), /^MalformedError: TOML, line 3: /);
});

test("depth and length are bounded, and cost no more than they should", () => {
  const size = 262_144;
  refused(`a = ${"[".repeat(size)}`);
  refused(`a = ${"{a=".repeat(size / 3)}`);
  refused(`${"a.".repeat(size / 2)}a = 1`);
  refused(`a = '''${"x".repeat(size)}`);
  parseToml(`a = [${"\n".repeat(size)}]`);
  parseToml(`a = """${"\\n".repeat(size / 2)}"""`);
  parseToml(`a = [${"# x\n".repeat(size / 4)}]`);
});
