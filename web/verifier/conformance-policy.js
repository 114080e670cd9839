/**
 * Answers about policies and their successors (docs/conformance.md, `policy`, `follow`).
 */

import { bytes, integer, text } from "./ask.js";
import { Policy } from "./policy.js";
import { follow } from "./policy-update.js";

/** @import { Operation } from "./ask.js" */

/** @type {{ [op: string]: Operation }} */
export const operations = {
  async policy(ask) {
    const policy = await Policy.parse(bytes(ask, "policy"));
    if ("product" in ask) policy.product(text(ask, "product"));
    return { sha256: policy.sha256 };
  },

  async follow(ask) {
    const now = Number(integer(ask, "now"));
    const { policy } = await follow(bytes(ask, "policy"), bytes(ask, "updates"), now);
    return { sha256: policy.sha256, version: policy.version };
  },
};
