#!/bin/sh
# Make sure that the named tools are here: as root on Debian install them, otherwise say how.
set -eu
missing=
for tool in "$@"; do
  command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -z "$missing" ] && exit 0

packages=
for tool in $missing; do
  case "$tool" in
    node) packages="$packages nodejs" ;;
    *) packages="$packages $tool" ;;
  esac
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing$packages"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -qq -y --no-install-recommends $packages >/dev/null && exit 0
fi
echo "Missing:$missing. On Debian run: sudo apt-get install$packages" >&2
exit 1
