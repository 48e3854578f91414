#!/usr/bin/env bash
# Installs what building and testing need and is missing: through apt as root, else names it in one line.
# `setup.sh node`, `setup.sh browser` and `setup.sh old-browser` add what the console's build and its tests need.
set -euo pipefail
more=${1:-}
# Where Debian keeps servers; an ordinary user's path leaves it out.
PATH=$PATH:/usr/sbin

declare -A package_of=(
  [cc]=build-essential [make]=make [git]=git [java]=openjdk-17-jdk-headless [javac]=openjdk-17-jdk-headless
  [mvn]=maven [zbarimg]=zbar-tools [strace]=strace [openssl]=openssl
  [nginx]=nginx-light
)

case $more in
  node) package_of+=([node]=nodejs [npm]=npm) ;;
  browser) package_of+=([node]=nodejs [npm]=npm [fc-list]=fontconfig) ;;
  old-browser) package_of+=([node]=nodejs [npm]=npm [fc-list]=fontconfig [xvfb-run]=xvfb [xauth]=xauth) ;;
esac

missing=()
for tool in "${!package_of[@]}"; do
  command -v "$tool" >/dev/null 2>&1 || missing+=("${package_of[$tool]}")
done
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 || missing+=(postgresql)
if [ "$more" = old-browser ]; then
  /usr/bin/python3 -c 'import PyQt5.QtWebEngineWidgets' 2>/dev/null || missing+=(python3-pyqt5.qtwebengine)
  ls /usr/lib/*/dri/swrast_dri.so >/dev/null 2>&1 || missing+=(libgl1-mesa-dri)
fi
if [ "$more" = browser ] || [ "$more" = old-browser ]; then
  command -v chromium-headless-shell >/dev/null 2>&1 || command -v chromium >/dev/null 2>&1 || missing+=(chromium-headless-shell)
  fc-list 2>/dev/null | grep -q 'Noto Sans CJK' || missing+=(fonts-noto-cjk)
fi
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

# A distribution's Node may be too old for the console's build: then one of its own comes from npm, under target/.
node_wanted=${NODE_WANTED:-20.19}
node_fits() {
  local have
  have=$(node --version 2>/dev/null | tr -d v)
  [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$node_wanted" "$have" | sort -V | head -n 1)" = "$node_wanted" ]
}
if [ -n "$more" ] && ! node_fits; then
  PATH=$PWD/target/node/node_modules/.bin:$PATH
  if ! node_fits; then
    echo "setup: Node $node_wanted or newer is needed: npm puts one into target/node"
    npm install --silent --no-audit --no-fund --prefix target/node node@22 >/dev/null
    node_fits || { echo "setup: no Node $node_wanted or newer to be had (nodejs.org)" >&2; exit 1; }
  fi
fi
