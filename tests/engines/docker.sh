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
    mkdir -p /etc/docker
    documented /etc/docker/daemon.json >/etc/docker/daemon.json
    start_dockerd
    docker load --input "$archive"
}

start_dockerd() { # option...
    daemon dockerd dockerd --containerd /run/containerd/containerd.sock "$@"
    eventually docker version
}

check_runtime_is_default() {
    expect 0 docker info --format '{{.DefaultRuntime}} {{index .Runtimes "tare" | json}}'
    has '^tare .*/usr/local/bin/tare'
}
