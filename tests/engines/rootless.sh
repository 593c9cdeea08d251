# shellcheck shell=bash
# Podman of an ordinary user, with conmon and slirp4netns.

# shellcheck source=podman.sh
. "$engines/podman.sh"

# Every Podman takes from the storage's directories the permission to pass through that
# this check's Podman gives them.
alone="userns"

short="run exit_code exit_code_126_127 exec"

missing() {
    need podman podman conmon conmon newuidmap uidmap slirp4netns slirp4netns fuse-overlayfs fuse-overlayfs setpriv util-linux
}

# Whoever calls, as the user; in a directory that the user may be in, and where systemd is, in
# a cgroup that the user's own systemd made, as every program of a user's session.
as_user() ( # command...
    cd /home/engines || exit
    bus=
    if with_systemd; then
        bus=DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/4242/bus
        echo $BASHPID >"/sys/fs/cgroup/user.slice/user-4242.slice/user@4242.service/app.slice/session.service/cgroup.procs"
    fi
    # shellcheck disable=SC2086 # an option and its value
    exec setpriv --reuid 4242 --regid 4242 ${groups:---clear-groups} --inh-caps=-all \
        env -i HOME=/home/engines USER=engines XDG_RUNTIME_DIR=/run/user/4242 PATH="$PATH" $bus "$@"
)
export -f with_systemd
export -f as_user

engine() { as_user podman "$@"; }
export -f engine
# What podman.sh's own checks call.
podman() { engine "$@"; }
export -f podman
with_terminal_engine() { as_user bash -c "$(declare -f with_terminal); with_terminal podman \"\$@\"" terminal "$@"; }

start() {
    configure
    echo 'engines:x:4242:4242:engines:/home/engines:/bin/bash' >>/etc/passwd
    echo 'engines:x:4242:' >>/etc/group
    echo 'engines:*:20000::::::' >>/etc/shadow
    echo 'engines:100000:65536' | tee /etc/subuid >/etc/subgid
    mkdir -p /home/engines
    mount -t tmpfs -o mode=700,uid=4242,gid=4242 home /home/engines
    if with_systemd; then start_session; else install -d -o 4242 -g 4242 /run/user/4242; fi
    chmod 644 "$archive"
    engine load --input "$archive"
}

# The user's systemd, as after a login; devices as udev would have them; and the unit that stands
# for what the user has started.
start_session() {
    chmod 666 /dev/net/tun /dev/fuse
    loginctl enable-linger engines
    eventually test -S /run/user/4242/bus
    setpriv --reuid 4242 --regid 4242 --clear-groups \
        env XDG_RUNTIME_DIR=/run/user/4242 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/4242/bus \
        systemd-run --user --unit session --property Delegate=yes sleep infinity
}
