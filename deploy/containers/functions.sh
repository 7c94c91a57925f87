#!/bin/sh
# An image with the functions ivim and tissue-volumes, without a container registry: Debian 12, its Python, the pinned
# packages.  Usage: deploy/containers/functions.sh IMAGE
# IMAGE is a folder, which charliecloud and apptainer run; with the ending .sqfs one file for charliecloud. It needs
# mmdebstrap (Debian or Ubuntu), pip, and mksquashfs for .sqfs; no root.
set -eu
image=${1:?usage: "$0" IMAGE}
here=$(cd "$(dirname "$0")/../.." && pwd)
case $image in *.sqfs) root=$image.root ;; *) root=$image ;; esac
for place in "$image" "$root" "$root.tar"; do
  [ ! -e "$place" ] || { echo "$place is there already: remove it, or choose another name" >&2; exit 1; }
done
built=
trap '[ "$built" ] || rm -rf "$root" "$root.tar" "$image"' EXIT

mkdir -p "$(dirname "$image")"
# On Debian 12 the sources of this machine, which may be a mirror nearby.
sources=
if grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    if grep -Eqs '^(deb |URIs:)' "$file"; then sources=$file; fi
  done
fi
# Unpacked, not set up: what the functions need of Debian needs no setting up, so neither root nor user namespaces are
# needed. As an archive: its content then belongs to whoever builds the image.
mode=chrootless
if [ "$(id -u)" -eq 0 ]; then mode=root; fi
mmdebstrap --quiet --mode="$mode" --variant=extract --format=tar \
  --setup-hook='for one in bin sbin lib lib64; do mkdir -p "$1/usr/$one" && ln -s "usr/$one" "$1/$one"; done' \
  --include=base-files,coreutils,dash,libstdc++6,python3 --aptopt='Acquire::Retries "5"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$root.tar" $sources >&2
mkdir -p "$root"
tar --extract --file="$root.tar" --directory="$root" --exclude='./dev/*' --no-same-owner
rm "$root.tar"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' > "$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' > "$root/etc/group"

functions=$root/opt/functions
"${PYTHON:-python3}" -m pip --disable-pip-version-check install --quiet --require-hashes --no-compile \
  --only-binary=:all: --python-version 3.11 --target "$functions" --requirement "$here/requirements/functions.txt"
# What depends on who builds: the same packages give the same digest.
rm -rf "$root/var/lib/dpkg" "$functions/bin" "$functions"/*.dist-info/RECORD
find "$functions" -type d -name tests -prune -exec rm -rf {} +
tar --create --directory="$here/src" --exclude=__pycache__ heartbrain_functions | tar --extract --directory="$functions"
echo /opt/functions > "$root/usr/lib/python3/dist-packages/functions.pth"
# Charliecloud makes no mount points.
mkdir -p "$root/input" "$root/output" "$root/work" "$root/mnt/0" "$root/mnt/1" "$root/mnt/2"

if [ "$root" != "$image" ]; then
  mksquashfs "$root" "$image" -quiet -no-progress -all-root >&2
  rm -rf "$root"
fi
built=yes
