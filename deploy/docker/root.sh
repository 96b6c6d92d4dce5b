#!/bin/sh
# Puts beside the binaries in ROOT what they need to run in an image that has nothing else: the libraries that they are linked
# with, whom to trust, how names are looked up, who runs them; and the list of what was compiled in, which scanners read.
set -eu

root=$1
packages=$2

for binary in "$root"/usr/local/bin/*; do
  ldd "$binary"
done | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p' | sort -u | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done

mkdir -p "$root/etc/ssl/certs" "$root/usr/share/countersign" "$root/tmp"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp "$packages" "$root/usr/share/countersign/Cargo.lock"
# A volume that is mounted here begins with this mode: whoever the image runs as can write to it.
mkdir -p "$root/var/lib"
mkdir -m 1777 "$root/var/lib/countersign"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
printf 'countersign:x:65532:65532::/:/usr/local/bin/countersign\n' >"$root/etc/passwd"
printf 'countersign:x:65532:\n' >"$root/etc/group"
