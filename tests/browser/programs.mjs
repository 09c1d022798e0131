// Finds the programs that these tests run.

import { accessSync, constants } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

const isProgram = (place) => {
  try {
    accessSync(place, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** Finds a program by its variable (`CHROMIUM` for `program("chromium")`), as `./test` chose it, or on the `PATH`. */
export function program(name) {
  const variable = name.toUpperCase();
  const wanted = process.env[variable] || name;
  const folders = [path.join(root, "target/tools/bin"), ...process.env.PATH.split(path.delimiter), "/usr/sbin"];
  const places = wanted.includes("/") ? [path.resolve(wanted)] : folders.map((folder) => path.join(folder, wanted));
  const found = places.find(isProgram);
  if (!found) throw new Error(`${wanted} is missing: run ./test to fetch ${name}, or set ${variable}`);
  return found;
}

/** The server under test: `CORTADO_BIN`, or the binary that `cargo build` creates. */
export function cortado() {
  const built = path.join(path.resolve(root, process.env.CARGO_TARGET_DIR ?? "target"), "debug/cortado");
  const binary = path.resolve(process.env.CORTADO_BIN ?? built);
  if (!isProgram(binary)) throw new Error(`there is no server at ${binary}: run cargo build, or set CORTADO_BIN`);
  return binary;
}
