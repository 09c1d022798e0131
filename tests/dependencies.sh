#!/usr/bin/env bash
# Checks all dependencies by the rules of deny.toml: licences, sources, duplicate versions, and known vulnerabilities.
# Without network, vulnerabilities are looked for in the database that was fetched last. If there is none, or no
# cargo-deny, a line says what was left out.
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/.."
deny=${CARGO_DENY:-cargo-deny}
PATH=$PWD/target/tools/bin:$PATH

if ! "$deny" --version >/dev/null 2>&1; then
  echo 'left out: the rules of deny.toml, because there is no cargo-deny (tests/tools.sh fetches it)'
  exit
fi

# The first run fetches crates for other systems, which no build has needed. Without network, cargo-deny works offline.
offline=()
if ! cargo fetch --quiet --locked 2>/dev/null; then offline=(--offline); fi
"$deny" --locked ${offline[@]+"${offline[@]}"} check licenses bans sources

databases=("${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/)
if timeout 60 "$deny" --locked fetch db >/dev/null 2>&1; then
  "$deny" --locked check advisories
elif [ -d "${databases[0]}" ]; then
  echo 'the database of vulnerabilities cannot be fetched: using the one that was fetched last'
  "$deny" --locked --offline check advisories
else
  echo 'left out: known vulnerabilities, because their database cannot be fetched'
fi
