# shellcheck shell=bash
# Podman as root, with conmon, configured as docs/engines.md says.

# shellcheck source=cli.sh
. "$engines/cli.sh"

short="run exit_code exit_code_126_127 tty exec exec_tty exec_not_found kill stop pause volume pod"

missing() { need podman podman conmon conmon /usr/lib/cni/bridge containernetworking-plugins; }

# As whoever is in $groups, if it is set.
# shellcheck disable=SC2086 # an option and its value
engine() { if [[ -n ${groups-} ]]; then setpriv $groups podman "$@"; else podman "$@"; fi; }
export -f engine
with_terminal_engine() { with_terminal podman "$@"; }

configure() {
    mkdir -p /etc/containers/containers.conf.d
    install_documented /etc/containers/containers.conf
    # What is the machine's business and not the runtime's.
    cat >/etc/containers/containers.conf.d/tests.conf <<CONF
[engine]
cgroup_manager = "$(if with_systemd; then echo systemd; else echo cgroupfs; fi)"
events_logger = "file"
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[network]
$(has_nat || echo 'firewall_driver = "none"')
default_rootless_network_cmd = "slirp4netns"
CONF
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/etc/containers/policy.json
}

start() {
    configure
    podman load --input "$archive"
}

check_runtime_is_default() {
    expect 0 podman info --format '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}'
    is 'tare /usr/local/bin/tare'
}

check_pod() {
    podman pod create --name "$name" --share net,ipc,uts --hostname podded
    podman run --detach --pod "$name" --name "$name-1" $image sleep 1000
    expect 0 podman run --rm --pod "$name" $image sh -c 'hostname; readlink /proc/self/ns/net'
    has '^podded$'
    is "$(tail -n 1 <<<"$out")" "$(podman exec "$name-1" readlink /proc/self/ns/net)"
    podman pod stop --time 0 "$name"
    podman pod rm --force "$name"
}

check_pod_pause() {
    want_cgroups
    podman pod create --name "$name"
    podman run --detach --pod "$name" --name "$name-1" $image sleep 1000
    podman pod pause "$name"
    is_state paused "$name-1"
    podman pod unpause "$name"
    is_state running "$name-1"
    podman pod rm --force --time 0 "$name"
}

# By an annotation that only crun knows otherwise. A group that no user namespace of ours maps.
check_keep_groups() {
    if is_runc; then skip 'runc keeps no groups'; fi
    groups='--groups 7777' expect 0 engine run --rm --group-add keep-groups $image grep Groups /proc/self/status
    has "$(if rootless; then echo 65534; else echo 7777; fi)"
}

check_preserve_fds() {
    expect 0 bash -c 'exec 3<<<"through a descriptor"; podman run --rm --preserve-fds 1 "$@"' run $image sh -c 'cat <&3'
    is 'through a descriptor'
}

check_userns() {
    # An ordinary user's ids are those of the user namespace that Podman itself is in.
    local first=100000
    if rootless; then first=1; fi
    expect 0 podman run --rm --uidmap "0:$first:5000" --gidmap "0:$first:5000" $image cat /proc/self/uid_map
    has "^ +0 +$first +5000"
    expect 0 podman run --rm --uidmap "0:$first:5000" $image sh -c 'touch /file && stat -c %u /file'
    is 0
}

check_conmon_log() {
    podman run --name "$name" --log-driver k8s-file $image echo logged
    grep 'F logged' "$(podman inspect --format '{{.HostConfig.LogConfig.Path}}' "$name")"
}

# An error's words reach the user, and not only that there was one.
check_error_words() {
    expect 127 podman run --rm --sysctl net.nonesuch=1 $image true
    has 'net.nonesuch|net/nonesuch'
}

# Whatever Podman had forgotten, what runs, runs on.
check_restart_of_engine() {
    background
    rm -rf /run/libpod/lock
    expect 0 podman exec "$name" echo alive
    is alive
}
