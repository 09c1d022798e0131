#!/usr/bin/env bash
# Makes the archives of a release: docs/deploy/release.sh [TARGET...]
# Each TARGET is a target of Rust such as x86_64-unknown-linux-musl; without one, the program is built for this machine.
# The same commit gives the same archives. They, and SHA256SUMS with their checksums, are written to target/release-archives.
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/../.."

fail() {
  echo "release: $*" >&2
  exit 1
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
[ -z "$(git status --porcelain)" ] || fail 'the tree has changes; commit them first'
grep -q "^## \[$version\]" CHANGELOG.md || fail "CHANGELOG.md has no entry for $version"
# The time of the commit is that of all files in the archives.
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
target_dir=${CARGO_TARGET_DIR:-target}
archives=$target_dir/release-archives
rm -rf "$archives"
mkdir -p "$archives"

[ $# -gt 0 ] || set -- "$(rustc -vV | sed -n 's/^host: //p')"
for target in "$@"; do
  cargo build --release --locked --bin cortado --target "$target"
  program=$target_dir/$target/release/cortado
  said=$("$program" --version)
  [ "$said" = "cortado $version" ] || fail "$program says $said instead of cortado $version"
  name=cortado-$version-$target
  rm -rf "${archives:?}/$name"
  mkdir "$archives/$name"
  cp "$program" README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE docs/cortado.example.toml \
    docs/deploy/cortado.service docs/deploy/cortado.socket "$archives/$name"
  chmod 644 "$archives/$name"/*
  chmod 755 "$archives/$name" "$archives/$name/cortado"
  tar --create --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    --directory "$archives" "$name" | gzip --no-name --best >"$archives/$name.tar.gz"
  rm -rf "${archives:?}/$name"
done
(cd "$archives" && sha256sum -- *.tar.gz >SHA256SUMS && cat SHA256SUMS)
