// The types that are shipped: a program that uses them is compiled, and they name what the package exports.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { it } from "node:test";
import { fileURLToPath } from "node:url";

import * as cortado from "../src/index.js";

const root = new URL("..", import.meta.url);

/** The compiler is a development dependency, which a plain checkout does not have. */
function compiler() {
  try {
    return createRequire(import.meta.url).resolve("typescript/bin/tsc");
  } catch {
    return undefined;
  }
}

it("a program with all types compiles", { skip: compiler() === undefined && "run npm install in clients/node" }, () => {
  const { status, stdout } = spawnSync(process.execPath, [compiler(), "-p", fileURLToPath(root)], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

it("the types declare exactly what the package exports", () => {
  const declared = [...readFileSync(new URL("index.d.ts", root), "utf8").matchAll(/^export declare class (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(declared.sort(), Object.keys(cortado).sort());
});

it("the package contains the files that it names, and has no dependencies", () => {
  const manifest = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));
  const { types, default: main } = manifest.exports["."];
  for (const file of [types, main, manifest.types, ...manifest.files]) assert.ok(existsSync(new URL(file, root)), file);
  assert.equal(manifest.dependencies, undefined);
});
