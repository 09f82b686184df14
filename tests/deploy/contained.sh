#!/usr/bin/env bash
# contained.sh ROOT SETTINGS STATE TMP COMMAND...: runs a command in an image's root file system as compose.yaml and the
# Kubernetes manifests have it: the root read-only, SETTINGS read-only as /etc/archiver, STATE and TMP to write to, PID 1,
# user 65532 (or AS_USER=uid:gid), no capability, no new privilege. Variables that the image sets are handed over in IMAGE_ENV, one a line.
# For machines where no container runtime may make its cgroups; the network is the machine's own.
set -euo pipefail
export AS_USER=${AS_USER:-65532:65532}
export root=$1 settings=$2 state=$3 tmp=$4; shift 4
exec unshare --mount --pid --fork --kill-child -- bash -euc '
    mount --bind "$root" "$root"
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    mount -t tmpfs -o nosuid,noexec,mode=0755 tmpfs "$root/dev"
    for name in null zero full random urandom; do touch "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
    mount -o remount,ro "$root/dev"
    mount --bind "$settings" "$root/etc/archiver"
    mount -o remount,bind,ro "$root/etc/archiver"
    mount --bind "$state" "$root/var/lib/archiver"
    mount --bind "$tmp" "$root/tmp"
    mount -o remount,bind,nosuid,nodev,noexec "$root/tmp"
    mount -o remount,bind,ro "$root"
    mapfile -t variables <<<"$IMAGE_ENV"
    exec chroot "$root" /usr/bin/setpriv --reuid "${AS_USER%:*}" --regid "${AS_USER#*:}" --clear-groups --no-new-privs \
        --inh-caps=-all --ambient-caps=-all --bounding-set=-all \
        env --ignore-environment --chdir=/var/lib/archiver "${variables[@]}" "$@"' contained "$@"
