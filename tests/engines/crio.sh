# shellcheck shell=bash
# CRI-O, with conmon and its own pinns, as a kubelet uses it: what cri.sh does with containerd.

# shellcheck source=cri.sh
. "$engines/cri.sh"

short="pod_and_container exec_sync"
programs=${CARGO_TARGET_DIR:-$engines/../../target}/engines/cri-programs
implementation=cri-o
state=/run/tare
export CRI_SOCKET=/run/crio/crio.sock

missing() { missing_crio; }

missing_crio() {
    need podman podman conmon conmon || return
    [[ -x $programs/crio ]] || { echo 'no CRI-O (make test-engines builds it)'; return 1; }
    missing_client
}

start() { start_all_of_crio; }

start_all_of_crio() {
    make_client
    install_documented /etc/crio/crio.conf.d/10-tare.conf
    # What is the machine's business and not the runtime's.
    cat >/etc/crio/crio.conf.d/20-tests.conf <<CONF
[crio]
root = "/var/lib/containers/crio"
runroot = "/run/containers/crio"
[crio.runtime]
cgroup_manager = "$(if with_systemd; then echo systemd; else echo cgroupfs; fi)"
conmon_cgroup = "$(if with_systemd; then echo system.slice; else echo pod; fi)"
irqbalance_config_restore_file = "disable"
pinns_path = "$(realpath "$programs")/pinns"
[crio.runtime.runtimes.control]
runtime_path = "$(command -v runc)"
[crio.image]
pause_image = "localhost/tare/pause:1"
pause_command = ""
[crio.network]
plugin_dirs = ["/usr/lib/cni"]
CONF
    mkdir -p /etc/containers
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/etc/containers/policy.json
    install_network
    load_into_crio "$archive"
    load_into_crio "$pause"
    start_crio
}

load_into_crio() { # file
    podman --root /var/lib/containers/crio --runroot /run/containers/crio load --input "$1"
}

start_crio() {
    daemon crio "$programs/crio"
    eventually ready
}

restart_engine() {
    pkill -TERM -x crio
    eventually eval '! pgrep -x crio'
    start_crio
}

# CRI-O has the runtime make the container before its start is asked for.
check_not_found() {
    pod
    expect 1 create main '' '.command = ["nonesuch"]'
    has 'executable file not found in \$PATH'
}

# To CRI-O that is an answer, not an error.
check_exec_sync_timeout() {
    pod_with
    expect 0 cri ExecSync "{\"container_id\": \"$container\", \"timeout\": 1, \"cmd\": [\"sleep\", \"1003\"]}"
    has 'timed out' "$(jq -r .stderr <<<"$out" | base64 -d)"
    eventually eval '! pgrep -f "sleep 1003"'
    expect 0 exec_sync true
}

check_oom() {
    local attempt
    for attempt in $(seq "$(conmon_tries)"); do
        if (name=$name-$attempt && runs_out_of_memory); then return; fi
    done
    false
}
