# shellcheck shell=bash
# Docker: dockerd over the containerd of containerd.sh, configured as docs/engines.md says.

# shellcheck source=cli.sh
. "$engines/cli.sh"
# shellcheck source=containerd.sh
. <(sed -n '/^start_containerd()/,/^}/p' "$engines/containerd.sh")

short="run exit_code exit_code_126_127 tty exec exec_tty exec_not_found kill stop pause volume published_port"

missing() { need docker docker.io dockerd docker.io containerd containerd iptables iptables; }

engine() { docker "$@"; }
export -f engine
with_terminal_engine() { with_terminal docker "$@"; }

start() {
    start_containerd
    install_documented /etc/docker/daemon.json
    local options=()
    if ! has_nat; then options=(--iptables=false --ip6tables=false); fi
    daemon dockerd dockerd --containerd /run/containerd/containerd.sock "${options[@]}"
    eventually docker version
    docker load --input "$archive"
}


check_runtime_is_default() {
    expect 0 docker info --format '{{.DefaultRuntime}} {{index .Runtimes "tare" | json}}'
    has '^tare .*/usr/local/bin/tare'
}

# A dockerd without a bridge removes the other one's.
alone="restart_of_engine userns_remap"

# A second dockerd, with state of its own; `docker` then means that one.
other_dockerd() { # option...
    local dir=/var/tmp/$name
    mkdir -p "$dir"
    export DOCKER_HOST=unix://$dir/docker.sock
    dockerd --host "$DOCKER_HOST" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" \
        --containerd /run/containerd/containerd.sock --containerd-namespace "$name" \
        --containerd-plugins-namespace "$name-plugins" \
        --bridge none --iptables=false --ip6tables=false "$@" &>>"$logs/$name.dockerd.log" &
    eventually docker version
    docker load --input "$archive"
}

end_dockerd() {
    kill -TERM "$(cat "/var/tmp/$name/pid")"
    eventually eval '! docker version'
}

check_userns_remap() {
    grep -q '^dockremap:' /etc/subuid 2>/dev/null || echo 'dockremap:200000:65536' | tee -a /etc/subuid >>/etc/subgid
    other_dockerd --userns-remap default
    expect 0 docker run --rm --network none $image cat /proc/self/uid_map
    has '^ +0 +200000 +65536'
    background --network none
    expect 0 docker exec "$name" sh -c 'touch /file && stat -c %u /file'
    is 0
    is 200000 "$(stat -c %u "/proc/$(inspect '{{.State.Pid}}')")"
    docker rm --force "$name"
    end_dockerd
}

check_restart_of_engine() {
    other_dockerd --live-restore
    background --network none
    local pid
    pid=$(inspect '{{.State.Pid}}')
    end_dockerd
    kill -0 "$pid"
    other_dockerd --live-restore
    is_state running
    is "$pid" "$(inspect '{{.State.Pid}}')"
    expect 0 docker exec "$name" echo alive
    is alive
    docker rm --force "$name"
    end_dockerd
}
