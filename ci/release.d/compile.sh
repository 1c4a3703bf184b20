#!/bin/bash
# What a compilation VM is to one package. Runs in namespaces of its own: no network, and mounts that end with it.
# Arguments: the directory that becomes /var/vcap, then name and directory of each dependency.
set -euo pipefail
vcap=$1
shift
mkdir -p /var/vcap
mount --make-rprivate /
mount --bind "$vcap" /var/vcap
while [ "$#" -gt 0 ]; do
  mount --bind "$2" "/var/vcap/packages/$1"
  # On a VM each package is unpacked anew for each compilation: what one writes into another is lost.
  mount -o remount,bind,ro "/var/vcap/packages/$1"
  shift 2
done
# What this machine has besides its distribution is not on a stemcell.
for place in /opt /root /usr/local /home /srv; do
  if [ -d "$place" ]; then mount -t tmpfs -o mode=0755 tmpfs "$place"; fi
done
# A stemcell's is as small.
mount -t tmpfs -o mode=1777,size=128m tmpfs /tmp
cd "$BOSH_COMPILE_TARGET"
exec nice -n 5 bash -x packaging
