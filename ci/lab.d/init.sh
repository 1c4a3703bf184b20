#!/bin/bash
# The first process of a lab VM, in namespaces of its own: mounts what a stemcell has, starts monit if
# the agent has configured it, and reaps. When it dies, the kernel kills everything else in the VM.
set -eu
root=$1 name=$2
hostname "$name"
mkdir -p /var/vcap
mount --bind "$root/vcap" /var/vcap
# The persistent disk: an image with a file system of its own, which can be full, broken or frozen, or a folder.
if [ -f "$root/disk.img" ]; then
  mount -o loop,errors=remount-ro "$root/disk.img" /var/vcap/store
else
  mount --bind "$root/vcap/store" /var/vcap/store
fi
mount -t tmpfs -o size=16m,mode=1777 tmpfs /var/vcap/sys/run
mount -t tmpfs -o size=512m,mode=1777 tmpfs /tmp
# Who remembers something that may not be on disk yet asks whether this is the boot in which it was written.
cat /proc/sys/kernel/random/uuid >/var/vcap/sys/run/.boot_id
mount --bind -o ro /var/vcap/sys/run/.boot_id /proc/sys/kernel/random/boot_id
# A reboot: the agent remakes these, and monit starts what it is configured for (no pre-start).
for job in /var/vcap/jobs/*; do
  [ -d "$job" ] || continue
  install -d -m 0770 -o root -g vcap "/var/vcap/sys/run/${job##*/}"
done
# A process number left by the life before may be somebody else's in this one, and monit would wake that.
rm -f /var/vcap/monit/monit.pid
if [ -f /var/vcap/monit/monitrc ]; then nice -n -10 monit -c /var/vcap/monit/monitrc; fi
touch /var/vcap/sys/run/.booted
trap 'exit 0' TERM
# An orphan becomes this shell's child, and the shell reaps its children while it waits.
while true; do
  sleep 3600 &
  wait $! || true
done
