# shellcheck shell=bash
# containerd, by its own client `ctr`, which names the runtime for each container.

short="run exit_code exec exec_tty kill_all pause metrics delete_states not_found seccomp volume"

missing() { need ctr containerd containerd-shim-runc-v2 containerd; }

start() {
    start_containerd
    ctr images import "$archive"
}

start_containerd() {
    [[ -S /run/containerd/containerd.sock ]] && return
    install_documented /etc/containerd/config.toml
    if with_systemd; then sed -i '/BinaryName/a SystemdCgroup = true' /etc/containerd/config.toml; fi
    cat "$engines/containerd.toml" >>/etc/containerd/config.toml
    install_network
    daemon containerd containerd
    eventually ctr version
}

# ctr with what follows its `run` in all checks.
run() {
    ctr run --runc-binary /usr/local/bin/tare "$@"
}

# A container that lasts, as most checks want one.
background() { # option...
    run --detach --null-io "$@" $image "$name" sleep 1000
}

running() {
    # Not by grep -q, which may end before ctr has written all, to whose loss pipefail objects.
    ctr task ls | grep "^$name .*RUNNING"
}

stopped() {
    ctr task ls | grep "^$name .*STOPPED"
}

# Older versions of ctr only print the status.
deleted_with() { # status
    local status=0
    out=$(ctr task delete "$name" 2>&1) || status=$?
    [[ $status == "$1" ]] || has "exit code $1"
}

check_run() {
    expect 0 run --rm $image "$name" echo hi
    is hi
}

check_exit_code() {
    expect 0 run --rm $image "$name" true
    expect 1 run --rm $image "$name" false
    expect 47 run --rm $image "$name" sh -c 'exit 47'
}

check_not_found() {
    expect 1 run --rm $image "$name" /no/such/program
    has 'no such file or directory|executable file not found'
    expect 1 run --rm $image "$name-2" nonesuch
    has 'executable file not found in \$PATH'
    expect 1 run --rm $image "$name-3" /etc/plain
    has 'permission denied'
}

check_stdin() {
    out=$(echo from outside | run --rm $image "$name" head -n 1)
    is 'from outside'
}

check_env_cwd() {
    expect 0 run --rm --env A=1 --cwd /tmp $image "$name" \
        sh -c 'echo $A $FROM_IMAGE $(pwd)'
    is '1 yes /tmp'
}

check_tty() {
    expect 0 with_terminal ctr run --runc-binary /usr/local/bin/tare --rm --tty $image "$name" \
        sh -c "$say_terminal"
    is '/dev/pts/0
33 77'
}

check_detach() {
    background
    running
    ctr task ls | grep "^$name"
    ctr container info "$name" | jq -e '.Runtime.Options | length > 0'
}

check_exec() {
    background
    expect 0 ctr task exec --exec-id e1 "$name" echo hi
    is hi
    expect 9 ctr task exec --exec-id e2 "$name" sh -c 'exit 9'
    expect 0 ctr task exec --exec-id e3 --user 1000 --cwd /home "$name" sh -c 'id -u; pwd'
    is '1000
/home'
}

check_exec_tty() {
    background
    expect 0 with_terminal ctr task exec --exec-id e1 --tty "$name" sh -c "$say_terminal"
    is '/dev/pts/0
33 77'
}

check_exec_stdin() {
    background
    out=$(echo from outside | ctr task exec --exec-id e1 "$name" cat)
    is 'from outside'
}

check_exec_not_found() {
    background
    expect 1 ctr task exec --exec-id e1 "$name" nonesuch
    has 'executable file not found in \$PATH'
    expect 1 ctr task exec --exec-id e2 "$name" /no/such/program
    has 'no such file or directory'
    expect 1 ctr task exec --exec-id e3 "$name" /etc/plain
    has 'permission denied'
    running
}

check_exec_parallel() {
    background
    expect 0 xargs -P 10 -I{} ctr task exec --exec-id e{} "$name" echo {} <<<"$(seq 20)"
    is "$(seq 20)" "$(sort -n <<<"$out")"
}

check_exec_of_stopped() {
    background
    ctr task kill --signal KILL "$name"
    eventually stopped
    expect 1 ctr task exec --exec-id e1 "$name" true
    has 'not running|not found|no running task|stopped'
}

check_attach() {
    run --detach $image "$name" sh -c 'sleep 1; echo attached; exit 3' </dev/null &
    eventually running
    expect 3 ctr task attach "$name"
}

check_log_file() {
    run --detach --log-uri file:///var/tmp/"$name".log $image "$name" echo logged
    eventually grep -q '^logged' /var/tmp/"$name".log
}

check_kill() {
    background
    ctr task kill --signal KILL "$name"
    eventually stopped
    deleted_with 137
}

check_kill_by_name() {
    run --detach --null-io $image "$name" sh -c 'trap "exit 5" USR1; while :; do sleep 0.1; done'
    sleep 0.5
    ctr task kill --signal SIGUSR1 "$name"
    eventually stopped
    deleted_with 5
}

check_kill_stopped() {
    background
    ctr task kill --signal KILL "$name"
    eventually stopped
    expect 1 ctr task kill --signal KILL "$name"
    has 'process already finished|not found'
}

check_kill_all() {
    run --detach --null-io $image "$name" sh -c 'sleep 1001 & sleep 1001 & wait'
    eventually eval '[[ $(ctr task ps "$name" | wc -l) == 4 ]]'
    ctr task kill --all --signal KILL "$name"
    eventually stopped
    deleted_with 137
}

# Without a pid namespace the processes that outlive init are the shim's to kill.
check_kill_all_host_pid() {
    run --detach --null-io --with-ns pid:/proc/1/ns/pid $image "$name" \
        sh -c 'sleep 1002 & sleep 1002 & sleep 0.3'
    eventually stopped
    expect 0 ctr task delete "$name"
    eventually eval '! pgrep -f "sleep 1002"'
}

check_pause() {
    background
    ctr task pause "$name"
    ctr task ls | grep "^$name .*PAUSED"
    ctr task resume "$name"
    running
    expect 0 ctr task exec --exec-id e1 "$name" true
}

check_exec_in_paused() {
    background
    ctr task pause "$name"
    expect 1 ctr task exec --exec-id e1 "$name" true
    has paused
    ctr task resume "$name"
}

check_ps() {
    run --detach --null-io $image "$name" sh -c 'sleep 1000 & wait'
    eventually eval '[[ $(ctr task ps "$name" | wc -l) == 3 ]]'
}

check_metrics() {
    background --memory-limit 67108864
    expect 0 ctr task metrics "$name"
    has '^(memory.usage_in_bytes|memory.limit_in_bytes|memory.usage) +[1-9]'
    has '^pids.current +[1-9]'
}

check_events() {
    timeout 20 ctr events >/var/tmp/"$name".events &
    sleep 0.5
    run --rm $image "$name" true
    eventually grep -q "/tasks/exit .*\"container_id\":\"$name\"" /var/tmp/"$name".events
    for topic in create start exit delete; do
        grep -q "/tasks/$topic .*$name" /var/tmp/"$name".events || fail "no event of $topic"
    done
}

check_oom() {
    timeout 20 ctr events >/var/tmp/"$name".events &
    sleep 0.5
    expect 137 run --rm --memory-limit 16777216 $image "$name" tail /dev/zero
    eventually grep -q "/tasks/oom .*$name" /var/tmp/"$name".events
}

check_delete_states() {
    run --detach --null-io $image "$name-running" sleep 1000
    expect 1 ctr task delete "$name-running"
    expect 0 ctr task delete --force "$name-running"
    run --detach --null-io $image "$name-paused" sleep 1000
    ctr task pause "$name-paused"
    ctr task delete --force "$name-paused" || { ctr task resume "$name-paused"; ctr task delete --force "$name-paused" || true; }
    run --detach --null-io $image "$name-stopped" true
    eventually eval 'ctr task ls | grep -q "^$name-stopped .*STOPPED"'
    expect 0 ctr task delete "$name-stopped"
    ctr container delete "$name"-{running,paused,stopped}
    lacks "$name" "$(ls /run/containerd/runc/default)"
}

check_volume() {
    mkdir -p /var/tmp/"$name"
    echo outside >/var/tmp/"$name"/file
    expect 0 run --rm --mount "type=bind,src=/var/tmp/$name,dst=/data,options=rbind:rw" $image "$name" \
        sh -c 'cat /data/file; echo inside >/data/new'
    is outside
    is inside "$(cat /var/tmp/"$name"/new)"
    expect 1 run --rm --mount "type=bind,src=/var/tmp/$name,dst=/data,options=rbind:ro" $image "$name" touch /data/x
    has 'Read-only file system'
}

check_tmpfs() {
    expect 0 run --rm --mount 'type=tmpfs,src=tmpfs,dst=/scratch,options=size=1m:mode=1777' $image "$name" \
        sh -c 'df -k /scratch | tail -n 1 | awk "{ print \$2 }"; stat -c %a /scratch'
    is '1024
1777'
}

check_read_only() {
    expect 1 run --rm --read-only $image "$name" touch /file
    has 'Read-only file system'
}

check_capabilities() {
    expect 0 run --rm --cap-drop CAP_CHOWN --cap-add CAP_NET_ADMIN $image "$name" \
        grep CapEff /proc/self/status
    local caps
    caps=0x$(awk '{ print $2 }' <<<"$out")
    is 0 $(((caps >> 0) & 1))
    is 1 $(((caps >> 12) & 1))
}

check_privileged() {
    expect 0 run --rm --privileged $image "$name" \
        sh -c 'mount -t tmpfs none /tmp && echo mounted; grep -c "^Seccomp:.*0" /proc/self/status'
    is 'mounted
1'
}

check_seccomp() {
    expect 0 run --rm --seccomp $image "$name" grep Seccomp: /proc/self/status
    has '2$'
    expect 1 run --rm --seccomp $image "$name-2" unshare -m true
    has 'Operation not permitted'
    echo '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}' >/var/tmp/"$name".json
    expect 1 run --rm --seccomp --seccomp-profile /var/tmp/"$name".json $image "$name-3" mkdir /x
    has 'not supported'
}

check_apparmor() {
    has_apparmor || skip 'there is no AppArmor, or no apparmor_parser'
    expect 0 run --rm --apparmor-default-profile tare-test $image "$name" cat /proc/self/attr/current
    has 'tare-test \(enforce\)'
}

check_device() {
    expect 0 run --rm --device /dev/fuse $image "$name" sh -c 'ls -l /dev/fuse; : </dev/fuse'
    has '10, 229'
}

check_limits() {
    expect 0 run --rm --memory-limit 33554432 --cpu-quota 50000 --cpu-period 100000 \
        --mount "type=bind,src=/sys/fs/cgroup,dst=/cg,options=rbind:ro" --cgroup "/$name" $image "$name" \
        sh -c "cat /cg/memory/$name/memory.limit_in_bytes /cg/cpu/$name/cpu.cfs_quota_us /cg/$name/memory.max /cg/$name/cpu.max 2>/dev/null; true"
    has '^33554432$'
    has '^50000( 100000)?$'
}

# As the CRI has it: a scope of the runtime's making.
check_systemd_cgroup() {
    with_systemd || skip 'no systemd here'
    run --detach --null-io --runc-systemd-cgroup --cgroup "system.slice:tare:$name" --memory-limit 33554432 $image "$name" sleep 1000
    expect 0 systemctl show --property MemoryMax --value "tare-$name.scope"
    is 33554432
    expect 0 ctr task exec --exec-id e1 "$name" grep "tare-$name.scope" /proc/self/cgroup
    ctr task kill --signal KILL "$name"
    eventually stopped
    ctr task delete "$name" || true
    eventually eval '! systemctl is-active "tare-$name.scope"'
}

check_network() {
    expect 0 run --rm $image "$name" ls /sys/class/net
    is lo
    expect 0 run --rm --net-host $image "$name" sh -c 'readlink /proc/self/ns/net'
    is "$(readlink /proc/self/ns/net)"
}

check_join_namespace() {
    background
    local pid
    pid=$(ctr task ls | awk -v n="$name" '$1 == n { print $2 }')
    expect 0 run --rm --with-ns "network:/proc/$pid/ns/net" --with-ns "ipc:/proc/$pid/ns/ipc" $image "$name-2" \
        readlink /proc/self/ns/net
    is "$(readlink "/proc/$pid/ns/net")"
}

check_pid_file() {
    background --pid-file /var/tmp/"$name".pid
    is "$(ctr task ls | awk -v n="$name" '$1 == n { print $2 }')" "$(cat /var/tmp/"$name".pid)"
}

check_user_namespace() {
    run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 $image "$name" cat /proc/self/uid_map |
        grep -E '^ +0 +100000 +65536'
}

check_runtime_root() {
    run --detach --null-io --runc-root /var/tmp/"$name" $image "$name" sleep 1000
    [[ -d /var/tmp/$name/default/$name ]]
    ctr task delete --force "$name" || true
}

check_checkpoint_refused() {
    if is_runc; then
        skip 'runc does checkpoint, with criu'
    fi
    background
    expect 1 ctr task checkpoint "$name"
    running
}

check_shim_killed() {
    background
    local pid init
    init=$(ctr task ls | awk -v n="$name" '$1 == n { print $2 }')
    kill -0 "$init"
    pid=$(pgrep -f "containerd-shim-runc-v2 .*-id $name ")
    kill -KILL "$pid"
    eventually eval "! kill -0 $init"
    eventually eval '[[ ! -d /run/containerd/runc/default/$name ]]'
    ctr container delete "$name"
}

check_twenty_at_once() {
    seq 20 | xargs -P 10 -I{} ctr run --runc-binary /usr/local/bin/tare --rm $image "$name-{}" true
    lacks "$name" "$(ctr container ls -q)"
}

# Last, because it disturbs the others' clients: see `alone`.
alone="restart_of_engine"
check_restart_of_engine() {
    background
    pkill -TERM -x containerd
    eventually eval '! pgrep -x containerd'
    rm -f /run/containerd/containerd.sock
    start_containerd
    running
    expect 0 ctr task exec --exec-id e1 "$name" echo alive
    is alive
    ctr task kill --signal KILL "$name"
    eventually stopped
    deleted_with 137
}
