# shellcheck shell=bash
# containerd as a kubelet uses it: pods, by the CRI. crio.sh has CRI-O do the same.

# shellcheck source=containerd.sh
. <(sed -n '/^start_containerd()/,/^}/p' "$engines/containerd.sh")

short="pod_and_container exec_sync"

export PYTHONPATH=/var/tmp/cri PYTHONDONTWRITEBYTECODE=yes

# What Version says, and where the runtime keeps its state.
implementation=containerd
state=/run/containerd/runc/k8s.io

api_proto=/usr/share/gocode/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto

missing() {
    need containerd containerd || return
    missing_client
}

missing_client() {
    need protoc protobuf-compiler jq jq curl curl /usr/lib/cni/bridge containernetworking-plugins || return
    [[ -n $(find_api) ]] || { echo 'no api.proto of the CRI (Debian package golang-github-kubernetes-cri-api-dev, from trixie)'; return 1; }
    /usr/bin/python3 -c 'import grpc, google.protobuf, yaml' 2>/dev/null ||
        { echo 'no gRPC for Python (Debian packages python3-grpcio python3-protobuf python3-yaml)'; return 1; }
}

# Installed, or unpacked by scripts/setup where the release is too old to have it.
find_api() {
    find $api_proto "${CARGO_TARGET_DIR:-$engines/../../target}/engines/cri-api$api_proto" 2>/dev/null | head -n 1
}

start() {
    make_client
    start_containerd
    ctr --namespace k8s.io images import "$archive"
    ctr --namespace k8s.io images import "$pause"
    eventually ready
}

ready() { cri Status | jq -e '.status.conditions | all(.status)'; }

make_client() {
    # The proto says how to make Go of it, besides; nobody else needs to know.
    mkdir -p /var/tmp/cri
    sed -e '/gogo.proto"/d' -e '/^option (gogoproto/d' -e 's/ *\[(gogoproto[^]]*\]//' "$(find_api)" >/var/tmp/cri/api.proto
    protoc --proto_path=/var/tmp/cri --python_out=/var/tmp/cri api.proto
    daemon "cri-of-$engine_name" "$engines/cri" "$caller"
    eventually test -S "$caller"
}

# One call, its answer printed as JSON.
cri() { # method [request]
    local answer
    answer=$(curl --silent --show-error --fail-with-body --unix-socket "$caller" --data-binary @- "http://cri/$1" \
        <<<"${2:-{\}}") || { echo "$answer" >&2; return 1; }
    echo "$answer"
}
export caller=/var/tmp/cri/$engine_name.socket
export -f cri

# A pod's configuration, with what the check wants of it.
pod_config() { # [jq filter]
    local parent=/k8s
    if with_systemd; then parent=/k8s.slice; fi
    jq --null-input --compact-output --arg name "$name" --arg parent "$parent" '{
        metadata: {name: $name, uid: $name, namespace: "default"},
        hostname: "podded", log_directory: "/var/tmp/\($name)-logs",
        linux: {cgroup_parent: $parent, security_context: {namespace_options: {pid: "CONTAINER"}}}
    }' | jq --compact-output "${1:-.}"
}

# Makes $pod.
pod() { # [jq filter]
    mkdir -p "/var/tmp/$name-logs"
    config=$(pod_config "${1:-.}")
    pod=$(cri RunPodSandbox "{\"config\": $config, \"runtime_handler\": \"tare\"}" | jq -r .podSandboxId)
}

# Makes $container in $pod, which runs a script.
create() { # name script [jq filter]
    local container_config
    container_config=$(jq --null-input --compact-output --arg name "$1" --arg script "$2" --arg image $image '{
        metadata: {name: $name}, image: {image: $image}, command: ["sh", "-c", $script],
        log_path: "\($name).log", linux: {security_context: {namespace_options: {pid: "CONTAINER"}}}
    }' | jq --compact-output "${3:-.}")
    container=$(cri CreateContainer "{\"pod_sandbox_id\": \"$pod\", \"config\": $container_config, \"sandbox_config\": $config}" |
        jq -r .containerId)
}

start_container() {
    cri StartContainer "{\"container_id\": \"$container\"}"
}

# A pod with one container of this script, or one that lasts.
pod_with() { # [script [jq filter of the container]]
    pod
    create main "${1:-sleep 1000}" "${2:-.}"
    start_container
}

status() { # jq filter
    cri ContainerStatus "{\"container_id\": \"$container\"}" | jq -r ".status | $1"
}

exited() {
    [[ $(status .state) == CONTAINER_EXITED ]]
}

# What the container printed before it ended.
printed() { # [container's name]
    eventually exited
    # The shim may still be writing.
    eventually test -s "/var/tmp/$name-logs/${1:-main}.log"
    cut -d' ' -f4- "/var/tmp/$name-logs/${1:-main}.log"
}

# Runs a script in a pod of its own, to its end; leaves its output in $out.
run() { # script [jq filter of the container]
    pod_with "$1" "${2:-.}"
    out=$(printed)
}

exec_sync() { # command...
    local answer
    answer=$(cri ExecSync "{\"container_id\": \"$container\", \"timeout\": 10, \"cmd\": $(jq --null-input --compact-output '$ARGS.positional' --args -- "$@")}") || return
    jq -r '.stdout // ""' <<<"$answer" | base64 -d
    return "$(jq '.exitCode // 0' <<<"$answer")"
}

check_version() {
    expect 0 cri Version
    has "$implementation"
    expect 0 cri Status '{"verbose": true}'
    has 'tare'
}

check_pod_and_container() {
    run 'echo hi; echo err >&2; hostname'
    # Two streams keep no order among each other.
    is 'err
hi
podded' "$(sort <<<"$out")"
    is 0 "$(status '.exitCode // 0')"
    is Completed "$(status .reason)"
    cri StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}"
    cri RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}"
    lacks "$pod" "$(cri ListPodSandbox)"
    lacks "$pod|$container" "$(ls "$state")"
}

check_unknown_handler() {
    expect 1 cri RunPodSandbox "{\"config\": $(pod_config), \"runtime_handler\": \"nonesuch\"}"
    has 'no runtime for "nonesuch"|failed to find runtime handler nonesuch'
}

check_exit_code() {
    pod_with 'exit 47'
    eventually exited
    is 47 "$(status .exitCode)"
    is Error "$(status .reason)"
}

check_not_found() {
    pod
    create main '' '.command = ["nonesuch"]'
    expect 1 start_container
    has 'executable file not found in \$PATH'
    is 128 "$(status .exitCode)"
    is StartError "$(status .reason)"
}

check_exec_sync() {
    pod_with
    expect 0 exec_sync echo hi
    is hi
    expect 9 exec_sync sh -c 'exit 9'
    expect 1 exec_sync nonesuch
    has 'executable file not found'
}

check_exec_sync_timeout() {
    pod_with
    expect 1 cri ExecSync "{\"container_id\": \"$container\", \"timeout\": 1, \"cmd\": [\"sleep\", \"1003\"]}"
    has 'DEADLINE_EXCEEDED|timed out|timeout'
    eventually eval '! pgrep -f "sleep 1003"'
    expect 0 exec_sync true
}

# What a node does all day: many pods' probes at the same time.
check_probes() {
    pod_with
    export container
    export -f exec_sync
    expect 0 xargs -P 8 -I{} bash -c 'exec_sync "$@"' probe echo {} <<<"$(seq 24)"
    is "$(seq 24)" "$(sort -n <<<"$out")"
}

check_environment() {
    run 'echo $A $FROM_IMAGE $PWD' '.envs = [{key: "A", value: "1"}] | .working_dir = "/tmp"'
    is '1 yes /tmp'
}

check_logs_reopen() {
    pod_with 'while :; do echo line; sleep 0.1; done'
    local log=/var/tmp/$name-logs/main.log
    eventually test -s "$log"
    mv "$log" "$log.1"
    cri ReopenContainerLog "{\"container_id\": \"$container\"}"
    eventually test -s "$log"
}

check_stop_with_grace() {
    pod_with 'trap "exit 6" TERM; echo up; while :; do sleep 0.1; done'
    eventually grep up "/var/tmp/$name-logs/main.log"
    cri StopContainer "{\"container_id\": \"$container\", \"timeout\": 10}"
    is 6 "$(status .exitCode)"
}

check_stop_after_grace() {
    pod_with 'trap "" TERM; while :; do sleep 0.1; done'
    cri StopContainer "{\"container_id\": \"$container\", \"timeout\": 1}"
    is 137 "$(status .exitCode)"
}

# CRI-O lets it end by itself for a minute.
check_remove_running() {
    pod_with 'trap exit TERM; while :; do sleep 0.1; done'
    cri RemoveContainer "{\"container_id\": \"$container\"}"
    lacks "$container" "$(cri ListContainers)"
}

check_remove_created() {
    pod
    create main true
    cri RemoveContainer "{\"container_id\": \"$container\"}"
    cri RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}"
}

check_restart_in_pod() {
    pod_with 'exit 1'
    eventually exited
    cri RemoveContainer "{\"container_id\": \"$container\"}"
    create main 'exit 0' '.metadata.attempt = 1'
    start_container
    eventually exited
    is 0 "$(status '.exitCode // 0')"
}

check_shared_namespaces() {
    pod
    create one 'for n in net ipc uts pid; do readlink /proc/self/ns/$n; done'
    start_container
    local one
    one=$(printed one)
    create two 'for n in net ipc uts pid; do readlink /proc/self/ns/$n; done'
    start_container
    local two
    two=$(printed two)
    is "$(grep -E '^(net|ipc|uts):' <<<"$one")" "$(grep -E '^(net|ipc|uts):' <<<"$two")"
    [[ $(grep ^pid: <<<"$one") != $(grep ^pid: <<<"$two") ]]
}

check_shared_pid_namespace() {
    if [[ $implementation == cri-o ]] && ! can 24; then
        skip 'root has no CAP_SYS_RESOURCE here, and CRI-O wants oom_score_adj -998 for what holds the namespace'
    fi
    local filter='.linux.security_context.namespace_options.pid = "POD"'
    pod "$filter"
    create one 'sleep 1000' "$filter"
    start_container
    create two 'ps' "$filter"
    start_container
    has 'sleep 1000' "$(printed two)"
    # Its last process is not its pid namespace's first.
    cri StopContainer "{\"container_id\": \"$container\", \"timeout\": 0}"
    cri StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}"
}

check_target_pid_namespace() {
    pod_with
    local target=$container
    create debug ps ".linux.security_context.namespace_options = {pid: \"TARGET\", target_id: \"$target\"}"
    start_container
    has '1 .* sleep 1000' "$(printed debug)"
}

check_host_namespaces() {
    local filter='.linux.security_context.namespace_options = {network: "NODE", pid: "NODE", ipc: "NODE"}'
    pod "$filter | del(.hostname)"
    create main 'for n in net ipc pid; do readlink /proc/self/ns/$n; done' "$filter"
    start_container
    is "$(for n in net ipc pid; do readlink /proc/self/ns/$n; done)" "$(printed)"
}

check_network() {
    pod_with 'httpd -f -p 80 -h /var/www'
    local address
    address=$(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$pod\"}" | jq -r .status.network.ip)
    eventually curl --silent --fail --max-time 2 "http://$address/"
}

check_host_port() {
    has_nat || skip 'the kernel cannot translate addresses'
    if [[ $implementation == cri-o ]]; then command -v nft || skip 'CRI-O wants nft (Debian package nftables)'; fi
    local port=$((20000 + RANDOM % 10000))
    pod ".port_mappings = [{protocol: \"TCP\", container_port: 80, host_port: $port}]"
    create main 'httpd -f -p 80 -h /var/www'
    start_container
    local own
    own=$(ip -4 -o addr show dev cni0 | awk '{ sub("/.*", "", $4); print $4 }')
    eventually curl --silent --fail --max-time 2 "http://$own:$port/"
}

check_dns() {
    pod '.dns_config = {servers: ["192.0.2.1"], searches: ["example.test"], options: ["ndots:5"]}'
    create main 'cat /etc/resolv.conf'
    start_container
    out=$(printed)
    has 'search example.test'
    has 'nameserver 192.0.2.1'
}

check_stats() {
    pod_with 'for i in $(seq 50000); do :; done; sleep 1000' '.linux.resources = {memory_limit_in_bytes: 67108864}'
    eventually eval 'cri ContainerStats "{\"container_id\": \"$container\"}" |
        jq -e ".stats | (.memory.workingSetBytes.value, .cpu.usageCoreNanoSeconds.value) // 0 | tonumber > 0"'
    expect 0 cri PodSandboxStats "{\"pod_sandbox_id\": \"$pod\"}"
}

# What a file of the container's cgroup holds.
in_cgroup() { # controller file-of-v1 file-of-v2
    local pid path
    pid=$(cri ContainerStatus "{\"container_id\": \"$container\", \"verbose\": true}" | jq '.info.info | fromjson | .pid')
    path=$(cgroup_of "$pid" "$1")
    if on_v2; then cat "$path/$3"; else cat "$path/$2"; fi
}

check_limits() {
    local cpus=0
    has_cpuset || cpus=
    pod_with '' ".linux.resources = {memory_limit_in_bytes: 67108864, cpu_quota: 50000, cpu_period: 100000, cpu_shares: 512, cpuset_cpus: \"$cpus\"}"
    is 67108864 "$(in_cgroup memory memory.limit_in_bytes memory.max)"
    has '^50000( 100000)?$' "$(in_cgroup cpu cpu.cfs_quota_us cpu.max)"
    has '^(512|20|59)$' "$(in_cgroup cpu cpu.shares cpu.weight)"
    [[ -n $cpus ]] || return 0
    expect 0 exec_sync grep Cpus_allowed_list /proc/self/status
    has '0$'
}

check_update() {
    pod_with '' '.linux.resources = {memory_limit_in_bytes: 67108864}'
    cri UpdateContainerResources "{\"container_id\": \"$container\",
        \"linux\": {\"memory_limit_in_bytes\": 134217728, \"cpu_shares\": 256}}"
    is 134217728 "$(in_cgroup memory memory.limit_in_bytes memory.max)"
    has '^(256|10|35)$' "$(in_cgroup cpu cpu.shares cpu.weight)"
}

# It outlives what is killed: systemd removes a cgroup with its last process, and with it the word
# that engines then look for, whichever runtime made it.
runs_out_of_memory() {
    pod_with 'sleep 0.5; tail /dev/zero; code=$?; sleep 1; exit $code' '.linux.resources = {memory_limit_in_bytes: 16777216}'
    eventually exited
    is 137 "$(status .exitCode)"
    eventually eval '[[ $(status .reason) == OOMKilled ]]'
}

check_oom() { runs_out_of_memory; }

check_mounts() {
    local dir=/var/tmp/$name
    mkdir -p "$dir/below"
    echo outside >"$dir/file"
    run 'cat /data/file; echo inside >/data/new; touch /fixed/x 2>&1' "
        .mounts = [{host_path: \"$dir\", container_path: \"/data\"}, {host_path: \"$dir\", container_path: \"/fixed\", readonly: true}]"
    is 'outside
touch: /fixed/x: Read-only file system'
    is inside "$(cat "$dir/new")"
}

check_mount_propagation() {
    local dir=/var/tmp/$name
    mkdir -p "$dir/below"
    pod_with '' ".mounts = [{host_path: \"$dir\", container_path: \"/data\", propagation: \"PROPAGATION_HOST_TO_CONTAINER\"}]"
    mount -t tmpfs none "$dir/below"
    echo new >"$dir/below/file"
    expect 0 exec_sync cat /data/below/file
    is new
}

check_read_only_root() {
    run 'touch /file 2>&1' '.linux.security_context.readonly_rootfs = true'
    has 'Read-only file system'
}

check_user_and_groups() {
    run 'id' '.linux.security_context.run_as_user = {value: 1000} | .linux.security_context.run_as_group = {value: 2000} |
        .linux.security_context.supplemental_groups = [3000]'
    has 'uid=1000\(user\) gid=2000\(extra\) groups=.*3000'
}

check_user_by_name() {
    run 'id -un' '.linux.security_context.run_as_username = "user"'
    is user
}

check_capabilities() {
    run 'awk "/CapEff/ { print \$2 }" /proc/self/status' \
        '.linux.security_context.capabilities = {add_capabilities: ["NET_ADMIN"], drop_capabilities: ["CHOWN"]}'
    is 0 $(((0x$out >> 0) & 1))
    is 1 $(((0x$out >> 12) & 1))
}

check_privileged() {
    can 24 || skip 'root has no CAP_SYS_RESOURCE here, and the engine gives all that its config names'
    pod '.linux.security_context.privileged = true'
    create main 'mount -t tmpfs none /tmp && echo mounted' '.linux.security_context.privileged = true'
    start_container
    is mounted "$(printed)"
}

check_no_new_privileges() {
    run 'grep NoNewPrivs /proc/self/status' '.linux.security_context.no_new_privs = true'
    has '1$'
}

check_seccomp_runtime_default() {
    run 'grep Seccomp: /proc/self/status; unshare -m true 2>&1' '.linux.security_context.seccomp = {profile_type: "RuntimeDefault"}'
    has '2$'
    has 'Operation not permitted|Function not implemented'
}

check_seccomp_localhost() {
    local profile=/var/tmp/$name.json
    echo '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}' >"$profile"
    run 'mkdir /x 2>&1' ".linux.security_context.seccomp = {profile_type: \"Localhost\", localhost_ref: \"$profile\"}"
    has 'not supported'
}

check_seccomp_unconfined() {
    run 'grep Seccomp: /proc/self/status' '.linux.security_context.seccomp = {profile_type: "Unconfined"}'
    has '0$'
}

check_apparmor() {
    has_apparmor || skip 'there is no AppArmor, or no apparmor_parser'
    run 'cat /proc/self/attr/current'
    has 'enforce'
}

check_masked_paths() {
    run 'wc -c </proc/timer_list; (echo x >/proc/sys/kernel/hostname) 2>&1' \
        '.linux.security_context.masked_paths = ["/proc/timer_list"] | .linux.security_context.readonly_paths = ["/proc/sys"]'
    has '^0$'
    has 'Read-only file system'
}

check_device() {
    run ': </dev/other && echo opened; (: >/dev/other) 2>&1' \
        '.devices = [{container_path: "/dev/other", host_path: "/dev/fuse", permissions: "r"}]'
    has '^opened$'
    has 'not permitted'
}

check_sysctls() {
    pod '.linux.sysctls = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "9000"}'
    create main 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax'
    start_container
    is '1
9000' "$(printed)"
}

check_oom_score() {
    run 'cat /proc/self/oom_score_adj' '.linux.resources = {oom_score_adj: 900}'
    is 900
}

check_terminal() {
    run 'tty; echo done' '.tty = true'
    has '/dev/pts/0'
}

check_five_pods_at_once() {
    export config name image
    export -f with_systemd fail pod pod_config create start_container pod_with status exited eventually
    seq 5 | xargs -P 5 -I{} bash -ec 'name=$name-$1; pod_with "exit $1"; eventually exited; [[ $(status .exitCode) == "$1" ]]' pod {}
}

# What an administrator sees of it all on a node.
check_crictl() {
    local program=${CARGO_TARGET_DIR:-$engines/../../target}/engines/cri-programs/crictl
    [[ -x $program ]] || skip 'no crictl (make test-engines builds it)'
    crictl() { "$program" --runtime-endpoint "unix://${CRI_SOCKET:-/run/containerd/containerd.sock}" "$@"; }
    pod_with 'echo logged; sleep 1000'
    expect 0 crictl pods --quiet --no-trunc
    has "$pod"
    expect 0 crictl ps --quiet --no-trunc
    has "$container"
    expect 0 crictl exec "$container" echo hi
    is hi
    expect 1 crictl exec "$container" sh -c 'exit 9'
    expect 0 crictl exec --sync "$container" echo hi
    is hi
    eventually eval '[[ $(crictl logs "$container") == logged ]]'
    expect 0 crictl inspect --output go-template --template '{{.status.state}}' "$container"
    has RUNNING
    expect 0 crictl stats --output json "$container"
    has workingSetBytes
    crictl update --memory 67108864 "$container"
    is 67108864 "$(in_cgroup memory memory.limit_in_bytes memory.max)"
    crictl stop --timeout 0 "$container"
    expect 0 crictl ps --all --quiet --no-trunc --state exited
    has "$container"
    crictl rm "$container"
    crictl stopp "$pod"
    crictl rmp "$pod"
    lacks "$pod" "$(crictl pods --quiet --no-trunc)"
}

# The RuntimeClass of the documentation, and the pod that uses it, as a kubelet would.
check_documented_pod() {
    local class manifest handler
    class=$(documented runtimeclass.yaml | to_json)
    manifest=$(documented pod.yaml | to_json)
    is "$(jq -r .metadata.name <<<"$class")" "$(jq -r .spec.runtimeClassName <<<"$manifest")"
    handler=$(jq -r .handler <<<"$class")
    config=$(pod_config)
    mkdir -p "/var/tmp/$name-logs"
    pod=$(cri RunPodSandbox "{\"config\": $config, \"runtime_handler\": \"$handler\"}" | jq -r .podSandboxId)
    create main '' ".command = $(jq -c '.spec.containers[0].command' <<<"$manifest") |
        .linux.resources.memory_limit_in_bytes = ($(jq -c '.spec.containers[0].resources.limits.memory' <<<"$manifest") | rtrimstr(\"Mi\") | tonumber * 1048576)"
    start_container
    eventually grep 'hello' "/var/tmp/$name-logs/main.log"
}

to_json() {
    /usr/bin/python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))'
}

alone="restart_of_engine"
check_restart_of_engine() {
    pod_with
    restart_engine
    eventually cri Version
    expect 0 exec_sync echo alive
    is alive
    # At once: its init is deaf to SIGTERM.
    cri StopContainer "{\"container_id\": \"$container\"}"
    cri StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}"
    cri RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}"
}

restart_engine() {
    pkill -TERM -x containerd
    eventually eval '! pgrep -x containerd'
    rm -f /run/containerd/containerd.sock
    start_containerd
}
