# Sourced by the scripts: what this machine has, and how it gets what it lacks (Debian, Ubuntu).
# shellcheck shell=bash

say() { printf '%s\n' "$@" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

felice_cache="${XDG_CACHE_HOME:-$HOME/.cache}/felice"

have() { command -v "$1" >/dev/null 2>&1; }

# The crate librocksdb-sys reads RocksDB's header through libclang each time that cargo builds it.
have_libclang() {
  if [ -n "${LIBCLANG_PATH:-}" ] || have llvm-config; then return 0; fi
  if compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null; then return 0; fi
  { ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null || true; } | grep -q 'libclang[-.0-9]*\.so'
}

have_jdk() { # 17 or newer, with the compiler
  have javac && [ "$(javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')" -ge 17 ]
}

have_venv() { have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; }

# The Debian packages that are missing for each thing named.
missing_packages() {
  local thing
  for thing; do
    case "$thing" in
      compiler) have g++ || echo g++; have gcc || echo gcc; have ar || echo binutils ;;
      libclang) have_libclang || echo libclang-dev ;;
      flock) have flock || echo util-linux ;;
      kcat) have kcat || echo kcat ;;
      python) have_venv || echo python3 python3-venv ;;
      maven) have mvn || echo maven ;;
      make) have make || echo make ;;
      jdk) have_jdk || jdk_package ;;
      node) have node || echo nodejs; have npm || echo npm ;;
      librdkafka) [ -e /usr/include/librdkafka/rdkafka.h ] || echo librdkafka-dev ;;
      *) die "missing_packages: unknown thing $thing" ;;
    esac
  done
}

# The newest JDK that this release has under a name of its own; `default-jdk` may be as old as 11.
jdk_package() {
  local version
  for version in 21 17; do
    if apt-cache show "openjdk-$version-jdk-headless" >/dev/null 2>&1; then
      echo "openjdk-$version-jdk-headless"
      return
    fi
  done
  echo openjdk-17-jdk-headless
}

is_root() { [ "$(id -u)" = 0 ]; }

# What a person would type, for messages.
install_command() {
  local sudo='sudo '
  if is_root; then sudo=''; fi
  echo "${sudo}apt-get install --no-install-recommends $*"
}

# Installs packages with apt-get, as root or through sudo. Asks nothing: whoever calls has asked.
install_packages() {
  have apt-get || { say "no apt-get here; please install by your own means: $*"; return 1; }
  local sudo=()
  if ! is_root; then
    have sudo || { say "neither root nor sudo here; please install: $*"; return 1; }
    sudo=(sudo)
  fi
  "${sudo[@]}" apt-get update -qq >&2 || say "apt-get update failed, trying with the lists that are there"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Asks on the terminal; without one the answer is no.
ask() {
  local answer=
  { [ -t 0 ] && [ -t 2 ]; } || return 1
  read -r -p "$1 [Y/n] " answer || return 1
  case "$answer" in '' | [yY]*) return 0 ;; *) return 1 ;; esac
}

# Dies unless cargo and a compiler as new as Cargo.toml asks for are there.
need_rust() {
  if ! have cargo && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"; fi
  have cargo || die "needs a Rust toolchain: https://rustup.rs"
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
  found=$(rustc --version | cut -d' ' -f2)
  [ "$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | head -1)" = "$wanted" ] ||
    die "needs Rust $wanted or newer, this is $found: rustup update stable"
}
