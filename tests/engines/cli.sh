# shellcheck shell=bash
# The checks that Docker and Podman share, because their command lines do. The file that
# includes this one defines `engine`, the command with its global options.

# A container that lasts.
background() { # option...
    engine run --detach --name "$name" "$@" $image sleep 1000
}

inspect() { # template [container]
    engine inspect --format "$1" "${2-$name}"
}

is_state() { # state [container]
    [[ $(inspect '{{.State.Status}}' "${2-$name}") == "$1" ]]
}

rootless() { [[ $engine_name == rootless ]]; }

# Without root and delegated cgroups there is nothing to limit with.
want_cgroups() {
    if rootless && ! with_systemd; then skip 'an ordinary user has no cgroups here'; fi
}

check_run() {
    expect 0 engine run --rm $image echo hi
    is hi
}

check_run_stderr() {
    engine run --rm $image sh -c 'echo out; echo err >&2' >/var/tmp/"$name".out 2>/var/tmp/"$name".err
    is out "$(cat /var/tmp/"$name".out)"
    is err "$(cat /var/tmp/"$name".err)"
}

check_exit_code() {
    expect 0 engine run --rm $image true
    expect 1 engine run --rm $image false
    expect 47 engine run --rm $image sh -c 'exit 47'
    expect 125 engine run --rm --no-such-flag $image true
}

check_exit_code_126_127() {
    expect 127 engine run --rm $image nonesuch
    has 'executable file( `nonesuch`)? not found'
    expect 127 engine run --rm $image /no/such/program
    has 'no such file or directory'
    expect 126 engine run --rm $image /etc/plain
    has '[Pp]ermission denied'
    expect 126 engine run --rm $image /etc
    has 'permission denied|[Ii]s a directory'
}

check_exit_code_of_signal() {
    background
    engine kill --signal KILL "$name"
    expect 0 engine wait "$name"
    is 137
    expect 0 inspect '{{.State.ExitCode}}'
    is 137
}

check_stdin() {
    out=$(echo from outside | engine run --rm --interactive $image cat)
    is 'from outside'
}

check_large_output() {
    out=$(engine run --rm $image sh -c 'head -c 3000000 /dev/zero | tr "\0" x | fold -w 100' | wc -c)
    is 3029999
}

check_tty() {
    expect 0 with_terminal_engine run --rm --interactive --tty $image sh -c "$say_terminal"
    is '/dev/pts/0
33 77'
}

check_exec() {
    background
    expect 0 engine exec "$name" echo hi
    is hi
    expect 9 engine exec "$name" sh -c 'exit 9'
}

check_exec_options() {
    background --env B=2
    expect 0 engine exec --user 1000:2000 --workdir /tmp --env A=1 "$name" \
        sh -c 'echo $A $B $FROM_IMAGE $(pwd) $(id -u):$(id -g)'
    is '1 2 yes /tmp 1000:2000'
}

check_exec_by_user_name() {
    background
    expect 0 engine exec --user user "$name" id
    has 'uid=1000\(user\) gid=1000\(user\) groups=.*2000\(extra\)'
}

check_exec_stdin() {
    background
    out=$(echo from outside | engine exec --interactive "$name" cat)
    is 'from outside'
}

check_exec_tty() {
    background
    expect 0 with_terminal_engine exec --interactive --tty "$name" sh -c "$say_terminal"
    is '/dev/pts/0
33 77'
}

check_exec_not_found() {
    background
    # Docker tells a missing program from one that cannot be executed in `run` alone.
    local missing=127
    if [[ $engine_name == docker ]]; then missing=126; fi
    expect $missing engine exec "$name" nonesuch
    has 'executable file( `nonesuch`)? not found'
    expect $missing engine exec "$name" /no/such/program
    has 'no such file or directory'
    expect 126 engine exec "$name" /etc/plain
    has '[Pp]ermission denied'
    is_state running
}

check_exec_parallel() {
    background
    expect 0 xargs -P 8 -I{} bash -c 'engine exec "$@"' exec "$name" echo {} <<<"$(seq 16)"
    is "$(seq 16)" "$(sort -n <<<"$out")"
}

# A process that is gone before its runtime has returned.
check_exec_fast_exit() {
    background
    for i in {1..10}; do
        expect "$i" engine exec "$name" sh -c "exit $i"
    done
}

check_exec_detached() {
    background
    expect 0 engine exec --detach "$name" sh -c 'echo there >/file'
    eventually engine exec "$name" test -s /file
}

# Docker gives a privileged process all capabilities that there are, ours or not.
want_all_capabilities() {
    if [[ $engine_name == docker ]] && ! can 24; then
        skip 'root has no CAP_SYS_RESOURCE here, and Docker asks for it'
    fi
}

check_exec_privileged() {
    want_all_capabilities
    background
    expect 0 engine exec --privileged "$name" grep CapEff /proc/self/status
    local caps
    caps=0x$(awk '{ print $2 }' <<<"$out")
    is 1 $(((caps >> 21) & 1))
}

check_exec_of_stopped() {
    background
    engine kill --signal KILL "$name"
    eventually is_state exited
    local status=0
    out=$(engine exec "$name" true 2>&1) || status=$?
    [[ $status != 0 ]]
    has 'not running|running containers'
}

check_attach() {
    engine run --detach --name "$name" $image sh -c 'sleep 3; echo attached; exit 3'
    if [[ $engine_name == docker ]]; then
        expect 3 engine attach "$name"
    else
        expect 0 engine attach "$name"
    fi
    has attached
}

check_logs() {
    engine run --name "$name" $image sh -c 'echo one; echo two >&2'
    expect 0 engine logs "$name"
    has '^one$'
    has '^two$'
}

check_logs_follow() {
    engine run --detach --name "$name" $image sh -c 'echo one; sleep 1; echo two'
    expect 0 timeout 20 bash -c 'engine logs --follow "$1"' logs "$name"
    is 'one
two'
}

check_create_start() {
    engine create --name "$name" $image sh -c 'echo started; exit 4'
    is_state created
    expect 4 engine start --attach "$name"
    is started
    # And once more, in the same root.
    expect 4 engine start --attach "$name"
}

check_kill() {
    engine run --detach --name "$name" $image sh -c 'trap "exit 5" USR1; while :; do sleep 0.1; done'
    sleep 0.5
    engine kill --signal SIGUSR1 "$name"
    eventually is_state exited
    is 5 "$(inspect '{{.State.ExitCode}}')"
}

check_kill_stopped() {
    engine run --name "$name" $image true
    local status=0
    out=$(engine kill "$name" 2>&1) || status=$?
    [[ $status != 0 ]]
    has 'not running|can only kill running'
}

check_stop() {
    engine run --detach --name "$name" $image sh -c 'trap "exit 6" TERM; while :; do sleep 0.1; done'
    sleep 0.5
    engine stop --time 10 "$name"
    is 6 "$(inspect '{{.State.ExitCode}}')"
}

check_stop_after_grace() {
    engine run --detach --name "$name" $image sh -c 'trap "" TERM; while :; do sleep 0.1; done'
    sleep 0.5
    engine stop --time 1 "$name"
    is 137 "$(inspect '{{.State.ExitCode}}')"
}

check_restart() {
    background
    local pid
    pid=$(inspect '{{.State.Pid}}')
    engine restart --time 0 "$name"
    is_state running
    [[ $(inspect '{{.State.Pid}}') != "$pid" ]]
}

check_restart_policy() {
    engine run --detach --restart on-failure:2 --name "$name" $image false
    eventually eval '[[ $(inspect "{{.RestartCount}}") == 2 ]]'
    eventually is_state exited
}

check_pause() {
    want_cgroups
    background
    engine pause "$name"
    is_state paused
    local status=0
    out=$(engine exec "$name" true 2>&1) || status=$?
    [[ $status != 0 ]]
    has 'paused|not running|improper'
    engine unpause "$name"
    expect 0 engine exec "$name" true
}

check_update() {
    want_cgroups
    background --memory 64m --memory-swap 64m
    engine update --memory 48m --memory-swap 48m --cpu-shares 512 "$name" ||
        { if [[ $engine_name == podman ]]; then engine update --memory 48m "$name"; fi; }
    is 50331648 "$(in_cgroup memory memory.limit_in_bytes memory.max)"
}

# What a file of the container's cgroup holds.
in_cgroup() { # controller file-of-v1 file-of-v2 [container]
    local path
    path=$(cgroup_of "$(inspect '{{.State.Pid}}' "${4-$name}")" "$1")
    if on_v2; then cat "$path/$3"; else cat "$path/$2"; fi
}

check_stats() {
    want_cgroups
    background --memory 64m
    expect 0 engine stats --no-stream --format '{{.MemUsage}}' "$name"
    has '[1-9].*[kKM]i?B / (64MiB|67.1MB|67.11MB)'
}

check_events() {
    local since
    since=$(date +%s)
    engine run --rm --name "$name" $image true
    local until=(--until "$(($(date +%s) + 1))")
    if [[ $engine_name != docker ]]; then until=(--stream=false); fi
    expect 0 engine events --since "$since" "${until[@]}" --filter "container=$name"
    has start
    has die
}

check_top() {
    background
    expect 0 engine top "$name"
    has 'sleep 1000'
}

check_oom() {
    want_cgroups
    local tries=1
    [[ $engine_name == docker ]] || tries=$(conmon_tries)
    until runs_out_of_memory; do
        ((--tries)) || fail 'nobody said that it was killed for its memory'
        engine rm "$name"
    done
}

runs_out_of_memory() {
    engine run --memory 16m --memory-swap 16m --name "$name" $image sh -c 'sleep 1; tail /dev/zero; code=$?; sleep 1; exit $code' || true
    is 137 "$(inspect '{{.State.ExitCode}}')"
    # conmon before 2.1.8 leaves its word about it in its working directory, where Podman
    # does not look.
    [[ -e /oom || $(inspect '{{.State.OOMKilled}}') == true ]]
}

check_health() {
    engine run --detach --name "$name" --health-cmd 'test -e /healthy' --health-interval 1s --health-retries 1 $image \
        sh -c 'touch /healthy; sleep 1000'
    if [[ $engine_name == docker ]]; then
        eventually eval '[[ $(inspect "{{.State.Health.Status}}") == healthy ]]'
        engine exec "$name" rm /healthy
        eventually eval '[[ $(inspect "{{.State.Health.Status}}") == unhealthy ]]'
    else
        # Without systemd nobody calls it but us.
        expect 0 engine healthcheck run "$name"
        engine exec "$name" rm /healthy
        expect 1 engine healthcheck run "$name"
    fi
}

check_shared_namespaces() {
    background
    expect 0 engine run --rm --network "container:$name" --pid "container:$name" $image \
        sh -c 'readlink /proc/self/ns/net; readlink /proc/1/ns/net; ps | grep -c "[s]leep 1000"'
    has '^1$'
    is '2 1' "$(grep -c net: <<<"$out") $(grep net: <<<"$out" | sort -u | wc -l)"
}

check_host_namespaces() {
    expect 0 engine run --rm --pid host --ipc host --uts host $image readlink /proc/self/ns/uts
    is "$(readlink /proc/self/ns/uts)"
}

check_volume() {
    local dir=/var/tmp/$name
    mkdir -m 777 "$dir"
    echo outside >"$dir/file"
    expect 0 engine run --rm --volume "$dir:/data" $image sh -c 'cat /data/file; echo inside >/data/new'
    is outside
    is inside "$(cat "$dir/new")"
    expect 1 engine run --rm --volume "$dir:/data:ro" $image touch /data/x
    has 'Read-only file system'
}

# Docker explains it by a word of the runtime's.
check_volume_of_the_wrong_kind() {
    local file=/var/tmp/$name status=0
    echo outside >"$file"
    out=$(engine run --rm --volume "$file:/tmp" $image true 2>&1) || status=$?
    [[ $status != 0 ]]
    has '[Nn]ot a directory'
    if [[ $engine_name == docker ]]; then has 'mount a directory onto a file'; fi
}

check_named_volume() {
    engine volume create "$name"
    expect 0 engine run --rm --volume "$name:/data" $image sh -c 'echo kept >/data/file'
    expect 0 engine run --rm --volume "$name:/data" $image cat /data/file
    is kept
    engine volume rm "$name"
}

check_volume_propagation() {
    if rootless; then skip 'an ordinary user cannot mount on the host'; fi
    local dir=/var/tmp/$name
    mkdir "$dir" "$dir/below"
    background --volume "$dir:/data:rslave"
    mount -t tmpfs none "$dir/below"
    echo new >"$dir/below/file"
    expect 0 engine exec "$name" cat /data/below/file
    is new
    expect 0 engine run --rm --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined --volume "$dir:/data:rshared" \
        $image sh -c 'mkdir /data/below/deep && mount -t tmpfs inner /data/below/deep'
    mountpoint "$dir/below/deep"
    engine rm --force "$name"
    umount "$dir/below/deep" "$dir/below"
}

check_tmpfs() {
    expect 0 engine run --rm --tmpfs /scratch:size=1m,mode=1777 $image \
        sh -c 'df -k /scratch | tail -n 1 | awk "{ print \$2 }"; stat -c %a /scratch'
    is '1024
1777'
}

check_shm_size() {
    expect 0 engine run --rm --shm-size 2m $image sh -c 'df -k /dev/shm | tail -n 1 | awk "{ print \$2 }"'
    is 2048
}

check_read_only() {
    expect 1 engine run --rm --read-only $image touch /file
    has 'Read-only file system'
    expect 0 engine run --rm --read-only --tmpfs /tmp $image touch /tmp/file
}

check_user() {
    expect 0 engine run --rm --user 1000:1000 $image sh -c 'id -u; id -g'
    is '1000
1000'
    expect 0 engine run --rm --user user $image id -un
    is user
    local status=0
    out=$(engine run --rm --user nonesuch $image true 2>&1) || status=$?
    [[ $status == 12[56] ]]
    has 'unable to find user nonesuch'
}

check_group_add() {
    expect 0 engine run --rm --group-add 3000 --group-add extra $image id -G
    has '2000'
    has '3000'
}

check_capabilities() {
    local caps
    expect 0 engine run --rm --cap-drop CHOWN --cap-add NET_ADMIN $image grep CapEff /proc/self/status
    caps=0x$(awk '{ print $2 }' <<<"$out")
    is 0 $(((caps >> 0) & 1))
    is 1 $(((caps >> 12) & 1))
    expect 0 engine run --rm --cap-drop ALL $image grep CapEff /proc/self/status
    has '0000000000000000'
}

check_privileged() {
    want_all_capabilities
    expect 0 engine run --rm --privileged $image sh -c 'mount -t tmpfs none /tmp && echo mounted'
    is mounted
}

check_no_new_privileges() {
    expect 0 engine run --rm --security-opt no-new-privileges $image grep NoNewPrivs /proc/self/status
    has '1$'
}

check_seccomp_default() {
    expect 0 engine run --rm $image grep Seccomp: /proc/self/status
    has '2$'
    expect 1 engine run --rm $image unshare -m true
    has 'Operation not permitted'
}

check_seccomp_custom() {
    local profile=/var/tmp/$name.json
    echo '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}' >"$profile"
    expect 1 engine run --rm --security-opt "seccomp=$profile" $image mkdir /x
    has 'not supported|not permitted'
}

check_seccomp_unconfined() {
    expect 0 engine run --rm --security-opt seccomp=unconfined $image grep Seccomp: /proc/self/status
    has '0$'
}

check_apparmor() {
    has_apparmor || skip 'there is no AppArmor, or no apparmor_parser'
    if rootless; then skip 'Podman applies no profile to what an ordinary user runs'; fi
    expect 0 engine run --rm $image cat /proc/self/attr/current
    has '\(enforce\)'
}

check_masked_paths() {
    expect 0 engine run --rm $image sh -c 'wc -c </proc/timer_list; ls /sys/firmware | wc -l; (echo x >/proc/sys/kernel/hostname) 2>/dev/null || echo refused'
    is '0
0
refused'
}

check_device() {
    expect 0 engine run --rm --device /dev/fuse $image sh -c ': </dev/fuse; echo opened'
    is opened
    expect 1 engine run --rm $image sh -c ': </dev/fuse'
}

check_device_read_only() {
    if rootless; then skip 'an ordinary user gets devices as bind mounts, with the rights that they have'; fi
    expect 0 engine run --rm --device /dev/fuse:/dev/other:r $image sh -c ': </dev/other; echo read'
    has read
    expect 1 engine run --rm --device /dev/fuse:/dev/other:r $image sh -c 'echo x >/dev/other'
    has 'not permitted'
}

check_sysctl() {
    expect 0 engine run --rm --sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=9000 $image \
        cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax
    is '1
9000'
}

check_ulimit() {
    expect 0 engine run --rm --ulimit nofile=123:456 --ulimit nproc=1000:1000 $image sh -c 'ulimit -n; ulimit -H -n'
    is '123
456'
}

check_pids_limit() {
    want_cgroups
    background --pids-limit 20
    is 20 "$(in_cgroup pids pids.max pids.max)"
}

check_pids_unlimited() {
    want_cgroups
    if [[ $engine_name == docker ]] && with_systemd; then skip 'Docker names no limit, and systemd has a default'; fi
    background --pids-limit -1
    is max "$(in_cgroup pids pids.max pids.max)"
}

check_memory_limit() {
    want_cgroups
    background --memory 64m
    is 67108864 "$(in_cgroup memory memory.limit_in_bytes memory.max)"
}

check_cpu_limit() {
    want_cgroups
    background --cpus 0.5 --cpu-shares 512
    has '^50000( 100000)?$' "$(in_cgroup cpu cpu.cfs_quota_us cpu.max)"
    has '^(512|20|59)$' "$(in_cgroup cpu cpu.shares cpu.weight)"
}

check_cpuset() {
    want_cgroups
    has_cpuset || skip 'no cpuset controller here'
    expect 0 engine run --rm --cpuset-cpus 0 $image grep Cpus_allowed_list /proc/self/status
    has '0$'
}

check_oom_score() {
    expect 0 engine run --rm --oom-score-adj 500 $image cat /proc/self/oom_score_adj
    is 500
}

check_hostname() {
    expect 0 engine run --rm --hostname inside $image sh -c 'hostname; cat /etc/hostname'
    is 'inside
inside'
}

check_dns() {
    expect 0 engine run --rm --dns 192.0.2.1 --add-host peer:192.0.2.2 $image cat /etc/resolv.conf /etc/hosts
    has 'nameserver 192.0.2.1'
    has '192.0.2.2.*peer'
}

check_network_none() {
    expect 0 engine run --rm --network none $image ls /sys/class/net
    is lo
}

check_network_host() {
    expect 0 engine run --rm --network host $image readlink /proc/self/ns/net
    rootless || is "$(readlink /proc/self/ns/net)"
}

check_network_default() {
    expect 0 engine run --rm $image ip -o -4 addr
    has '(eth|tap)0.*inet '
}

check_published_port() {
    if [[ $engine_name == podman ]] && ! has_nat; then skip 'the kernel cannot translate addresses'; fi
    local port=$((20000 + RANDOM % 10000))
    engine run --detach --name "$name" --publish "127.0.0.1:$port:80" $image httpd -f -p 80 -h /var/www
    eventually curl --silent --fail --max-time 2 "http://127.0.0.1:$port/"
    expect 0 curl --silent --fail "http://127.0.0.1:$port/"
    is 'hello from the image'
}

check_init() {
    # What reaps the orphan.
    expect 0 engine run --rm --init $image sh -c '(sleep 0.1 &) ; sleep 0.5; ps -o pid,comm,stat'
    lacks ' Z'
    has '1 (docker|podman)-init'
}

# What systemd does in a container, in small: pid 1 that mounts, waits for children and
# ends by a signal of its own.
check_init_system() {
    engine run --detach --name "$name" --stop-signal SIGRTMIN+3 --tmpfs /run --tmpfs /run/lock $image sh -c '
        trap "echo bye; exit 0" RTMIN+3 2>/dev/null || trap "echo bye; exit 0" 37
        sh -c "sleep 0.2 & exit" ; echo up >/run/state
        while :; do sleep 0.1; done'
    eventually engine exec "$name" test -s /run/state
    engine stop --time 10 "$name"
    is 0 "$(inspect '{{.State.ExitCode}}')"
    expect 0 engine logs "$name"
    has bye
}

check_wait() {
    engine run --detach --name "$name" $image sh -c 'sleep 0.5; exit 8'
    expect 0 engine wait "$name"
    is 8
}

check_copy() {
    background
    echo content >/var/tmp/"$name"
    engine cp /var/tmp/"$name" "$name:/tmp/there"
    expect 0 engine exec "$name" cat /tmp/there
    is content
    engine cp "$name:/tmp/there" /var/tmp/"$name".back
    is content "$(cat /var/tmp/"$name".back)"
}

check_delete_states() {
    engine create --name "$name-created" $image true
    engine rm "$name-created"
    engine run --detach --name "$name-running" $image sleep 1000
    local status=0
    out=$(engine rm "$name-running" 2>&1) || status=$?
    [[ $status != 0 ]]
    has 'running'
    engine rm --force "$name-running"
    engine run --name "$name-stopped" $image true
    engine rm "$name-stopped"
    if ! rootless; then
        engine run --detach --name "$name-paused" $image sleep 1000
        engine pause "$name-paused"
        engine rm --force "$name-paused"
    fi
    lacks "$name" "$(engine ps --all --format '{{.Names}}')"
}

check_checkpoint_refused() {
    if is_runc; then
        skip 'runc does checkpoint, with criu'
    fi
    if rootless; then skip 'Podman wants root for it'; fi
    background
    local status=0
    if [[ $engine_name == docker ]]; then
        out=$(engine checkpoint create "$name" one 2>&1) || status=$?
    else
        out=$(engine container checkpoint "$name" 2>&1) || status=$?
    fi
    [[ $status != 0 ]]
    is_state running
}

check_commit() {
    engine run --name "$name" $image sh -c 'echo more >/added'
    engine commit "$name" "localhost/$name:new"
    expect 0 engine run --rm "localhost/$name:new" cat /added
    is more
}

check_diff() {
    engine run --name "$name" $image touch /added
    expect 0 engine diff "$name"
    has 'A /added'
}

check_build() {
    local dir=/var/tmp/$name
    mkdir "$dir"
    cat >"$dir/Dockerfile" <<FILE
FROM $image
ENV BUILT=yes
WORKDIR /work
RUN echo "as \$(id -u) in \$(pwd), \$BUILT" >/result
USER user
RUN id -un >>/tmp/user
CMD cat /result /tmp/user
FILE
    DOCKER_BUILDKIT=0 engine build --tag "localhost/$name:built" "$dir"
    expect 0 engine run --rm "localhost/$name:built"
    is 'as 0 in /work, yes
user'
}

check_build_failure() {
    local dir=/var/tmp/$name status=0
    mkdir "$dir"
    printf 'FROM %s\nRUN exit 23\n' "$image" >"$dir/Dockerfile"
    out=$(DOCKER_BUILDKIT=0 engine build "$dir" 2>&1) || status=$?
    [[ $status != 0 ]]
    has '23'
}

check_ten_at_once() {
    expect 0 xargs -P 5 -I{} bash -c 'engine run --rm "$@"' run $image echo {} <<<"$(seq 10)"
    is "$(seq 10)" "$(sort -n <<<"$out")"
}
