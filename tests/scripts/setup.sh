#!/usr/bin/env bash
# Installs what building and testing need and is missing: through apt as root, else names it in one line.
set -euo pipefail
# Where Debian keeps servers; an ordinary user's path leaves it out.
PATH=$PATH:/usr/sbin

declare -A package_of=(
  [cc]=build-essential [make]=make [git]=git [java]=openjdk-17-jdk-headless [javac]=openjdk-17-jdk-headless
  [mvn]=maven [zbarimg]=zbar-tools [strace]=strace
  [nginx]=nginx-light
)

missing=()
for tool in "${!package_of[@]}"; do
  command -v "$tool" >/dev/null 2>&1 || missing+=("${package_of[$tool]}")
done
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 || missing+=(postgresql)
if [ ${#missing[@]} -gt 0 ]; then
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "setup: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "setup: missing: ${missing[*]} (install them with your system's packages, then run make again)" >&2
    exit 1
  fi
fi

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null 2>&1; then
  echo "setup: missing: Rust $wanted or newer (rustup.rs, or your system's packages)" >&2
  exit 1
fi
have=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" != "$wanted" ]; then
  echo "setup: Rust $have is too old: $wanted or newer is needed" >&2
  exit 1
fi
