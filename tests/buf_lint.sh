#!/bin/bash
# Lints the contracts in proto/ as proto/buf.yaml says. A check, not a dependency of
# the build: buf comes from npm once, into a cache folder of the user's.
#
# Exits 0 where they are clean, 1 where they are not, 77 where buf is not to be had
# (no npm, no network).
set -euo pipefail

readonly version=1.75.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nark/buf-$version
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [[ ! -x $cache/node_modules/.bin/buf ]]; then
  if ! command -v npm >/dev/null; then
    echo "buf_lint: npm is not installed, so proto/ was not linted" >&2
    exit 77
  fi
  # Under another name first, so that an install that was cut off is not taken for one.
  mkdir -p "${cache%/*}"
  fresh=$(mktemp -d "$cache.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  if ! npm install --silent --no-audit --no-fund --prefix "$fresh" "@bufbuild/buf@$version" \
      >"$fresh/npm.log" 2>&1; then
    echo "buf_lint: npm cannot install @bufbuild/buf@$version, so proto/ was not linted" >&2
    exit 77
  fi
  mv -T "$fresh" "$cache" 2>/dev/null || [[ -x $cache/node_modules/.bin/buf ]]
fi

cd "$top/proto"
"$cache/node_modules/.bin/buf" lint . || exit 1
