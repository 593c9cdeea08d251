# shellcheck shell=bash
# The cases, verb by verb. Each is a function of calls; their transcripts are compared.

# The kind of a JSON document's every value, by path.
shape() { # file
    jq -r 'paths(type != "object" and type != "array") as $p | ($p | map(if type == "number" then "N" else . end) | join(".")) + " " + (getpath($p) | type)' "$1" | sort -u
}

# --- the command line

case_version() {
    "$runtime" --version >out
    echo "status $?"
    show sed -En '1 s/^[a-z]+ (version) [0-9].*/\1/p; s/^spec: [0-9].*/spec/p' out
}

case_no_command() {
    timeout 20 "$runtime" >out 2>err || true
    echo "status $?, $(grep -c . <out | awk '{ print ($1 > 10) ? "help" : "no help" }')"
}

case_help() {
    for verb in '' create start state run exec kill delete list ps pause resume update events spec; do
        timeout 20 "$runtime" $verb --help >out 2>err
        echo "help of '$verb': $?, on stdout: $([[ -s out ]] && echo yes)"
    done
}

case_bad_command_line() {
    refused nonesuch
    refused --nonesuch state x
    refused state --nonesuch x
    refused state
    refused state a b
    refused kill
    refused create
    refused exec
    refused exec x
    refused delete
}

case_log_json() {
    call --log log.json --log-format json state "$id"
    show jq -c 'keys' log.json
    show jq -r .level log.json
}

case_log_text() {
    call --log log.txt state "$id"
    show sed -E 's/time="?[^ ]*"? //; s/(level=[a-z]*).*/\1/' log.txt
}

case_log_format_unknown() {
    call --log-format nonesuch list
}

# --- create

case_create() {
    bundle
    call create --bundle bundle --pid-file pid "$id"
    show readlink "/proc/$(cat pid)/ns/pid"
    call state "$id"
    call delete --force "$id"
    left
}

case_create_twice() {
    bundle
    create
    call create --bundle bundle "$id"
    call state "$id"
}

case_create_in_current_directory() {
    bundle
    cd bundle || return
    call create "$id"
}

case_create_without_config() {
    mkdir bundle
    call create --bundle bundle "$id"
    call create --bundle nonesuch "$id"
    left
}

case_create_bad_json() {
    bundle
    echo '{' >bundle/config.json
    call create --bundle bundle "$id"
    left
}

case_create_bad_ids() {
    bundle
    for bad in '' . .. a/b 'a b' 'a:b' 'ä' '-a'; do
        call create --bundle bundle -- "$bad"
    done
    for good in a.b a_b a-b a+b A1 1; do
        call create --bundle bundle -- "$good"
        "$runtime" --root "$root" delete --force "$good" &>/dev/null
    done
}

case_create_without_rootfs() {
    bundle '.root.path = "nonesuch"'
    call create --bundle bundle "$id"
    left
}

case_create_program_not_found() {
    bundle '.process.args = ["nonesuch"]'
    call create --bundle bundle "$id"
    edit '.process.args = ["/no/such/program"]'
    call create --bundle bundle "$id"
    edit '.process.args = ["/etc/plain"]'
    call create --bundle bundle "$id"
    edit '.process.args = ["/etc"]'
    call create --bundle bundle "$id"
    edit '.process.args = []'
    call create --bundle bundle "$id"
    left
}

case_create_bad_config() {
    bundle '.process.cwd = "relative"'
    call create --bundle bundle "$id"
    bundle '.process.cwd = "/made/anew"'
    call create --bundle bundle "$id"
    call delete --force "$id"
    bundle '.linux.namespaces += [{type: "pid"}]'
    call create --bundle bundle "$id"
    bundle '.linux.namespaces |= map(select(.type != "mount"))'
    call create --bundle bundle "$id"
    bundle '.linux.namespaces += [{type: "network", path: "/no/such"}] | .linux.namespaces |= map(select(.type != "network" or .path))'
    call create --bundle bundle "$id"
    bundle '.linux.sysctl = {"net.nonesuch": "1"}'
    call create --bundle bundle "$id"
    bundle '.linux.sysctl = {"kernel.sched_rt": "1"}'
    call create --bundle bundle "$id"
    bundle 'del(.process)'
    call create --bundle bundle "$id"
    bundle 'del(.root)'
    call create --bundle bundle "$id"
    left
}

case_create_failing_hook() {
    bundle '.hooks = {prestart: [{path: "/bin/sh", args: ["sh", "-c", "echo words of the hook >&2; exit 3"]}]}'
    call create --bundle bundle "$id"
    show grep -c 'words of the hook' err
    left
}

case_create_terminal_without_socket() {
    bundle '.process.terminal = true'
    call create --bundle bundle "$id"
    left
}

case_create_socket_without_terminal() {
    bundle
    call create --bundle bundle --console-socket "$PWD/nonesuch" "$id"
    left
}

# --- start, run

case_start() {
    bundle
    create
    call start "$id"
    until_status running
    call state "$id"
    call start "$id"
    call start nonesuch
}

case_start_of_stopped() {
    bundle
    stopped
    call start "$id"
}

case_start_failing_hooks() {
    bundle '.hooks = {poststart: [{path: "/bin/false"}]}'
    create
    call start "$id"
    call delete --force "$id"
    bundle '.hooks = {startContainer: [{path: "/bin/false"}]}'
    create
    call start "$id"
}

case_run() {
    bundle '.process.args = ["sh", "-c", "echo out; echo err >&2; exit 47"]'
    call run --bundle bundle "$id"
    show cat err
    left
}

case_run_true() {
    bundle '.process.args = ["true"]'
    call run --bundle bundle --pid-file pid "$id"
    show wc -l pid
    left
}

case_run_signal() {
    bundle '.process.args = ["sh", "-c", "kill -TERM 1; sh -c \"kill -KILL \\$\\$\""]'
    call run --bundle bundle "$id"
    left
}

case_run_detached() {
    bundle
    call run --bundle bundle --detach --pid-file pid "$id"
    call state "$id"
    show readlink -e "/proc/$(cat pid)/root"
}

case_run_keep() {
    bundle '.process.args = ["true"]'
    call run --bundle bundle --keep "$id"
    call state "$id"
}

case_run_not_found() {
    bundle '.process.args = ["nonesuch"]'
    call run --bundle bundle "$id"
    edit '.process.args = ["/etc/plain"]'
    call run --bundle bundle "$id"
    left
}

# --- state

case_state_created() {
    bundle '.annotations = {"a.b": "c"}'
    create
    call state "$id"
    show shape out
}

case_state_stopped() {
    bundle
    stopped
    call state "$id"
}

case_state_paused() {
    bundle
    running
    "$runtime" --root "$root" pause "$id"
    call state "$id"
}

case_state_of_nothing() {
    call state nonesuch
    mkdir -p "$root/broken"
    call state broken
}

# --- exec

case_exec() {
    bundle
    running
    call exec "$id" echo hi
    call exec "$id" sh -c 'exit 9'
    call exec "$id" sh -c 'kill -KILL $$'
    call exec "$id" sh -c 'echo err >&2'
    show cat err
}

case_exec_not_found() {
    bundle
    running
    call exec "$id" nonesuch
    call exec "$id" /no/such/program
    call exec "$id" /etc/plain
    call exec "$id" /etc
    call exec --cwd /nonesuch "$id" true
    call state "$id"
}

case_exec_options() {
    bundle
    running
    call exec --user 1:2 --cwd /tmp --env A=1 "$id" sh -c 'id -u; id -g; pwd; echo $A'
    call exec --additional-gids 100 --additional-gids 65534 "$id" id -G
    call exec --cap CAP_NET_ADMIN "$id" grep Cap /proc/self/status
    call exec --no-new-privs "$id" grep NoNewPrivs /proc/self/status
    call exec --env A=1 --env A=2 "$id" sh -c 'echo $A'
    call exec --user nobody "$id" true
}

case_exec_detached() {
    bundle
    running
    call exec --detach --pid-file pid "$id" sleep 1000
    show cat "/proc/$(cat pid)/comm"
}

case_exec_process() {
    bundle
    running
    jq '.process | .args = ["sh", "-c", "echo $A; pwd; exit 5"] | .env += ["A=1"] | .cwd = "/tmp"' bundle/config.json >process.json
    call exec --process process.json "$id"
    call exec --process nonesuch.json "$id"
    echo '{' >process.json
    call exec --process process.json "$id"
}

case_exec_in_states() {
    bundle
    create
    call exec "$id" echo created
    start
    "$runtime" --root "$root" pause "$id"
    call exec "$id" echo paused
    "$runtime" --root "$root" resume "$id"
    "$runtime" --root "$root" kill "$id" KILL
    until_status stopped
    call exec "$id" echo stopped
    call exec nonesuch true
}

case_exec_terminal_without_one() {
    bundle
    running
    call exec --tty --detach "$id" true
    call exec --console-socket "$PWD/nonesuch" "$id" true
}

# --- kill

case_kill() {
    for signal in '' KILL SIGKILL 9 TERM kill; do
        bundle '.process.args = ["sh", "-c", "trap \"exit 0\" TERM; while :; do sleep 0.1; done"]'
        running
        sleep 0.3
        call kill "$id" $signal
        until_status stopped
        call state "$id"
        call delete --force "$id"
    done
}

case_kill_zero() {
    bundle
    running
    call kill "$id" 0
    call state "$id"
}

case_kill_unknown_signal() {
    bundle
    running
    call kill "$id" NONESUCH
    call kill "$id" 1000
    call kill "$id" -1
    call state "$id"
}

case_kill_realtime() {
    bundle '.process.args = ["sh", "-c", "trap \"exit 0\" 35; while :; do sleep 0.1; done"]'
    running
    sleep 0.3
    call kill "$id" 35
    until_status stopped
}

case_kill_created() {
    bundle
    create
    call kill "$id" KILL
    until_status stopped
    call state "$id"
}

case_kill_stopped() {
    bundle
    stopped
    call kill "$id" KILL
    call kill --all "$id" KILL
    call kill nonesuch KILL
}

case_kill_paused() {
    bundle
    running
    "$runtime" --root "$root" pause "$id"
    call kill "$id" KILL
    until_status stopped
    call state "$id"
}

case_kill_all() {
    bundle '.process.args = ["sh", "-c", "sleep 1000 & sleep 1000 & wait"]'
    running
    call kill --all "$id" KILL
    until_status stopped
    call delete "$id"
    left
}

# --- delete

case_delete_created() {
    bundle
    create
    call delete "$id"
    left
}

case_delete_running() {
    bundle
    running
    call delete "$id"
    call state "$id"
    call delete --force "$id"
    call delete --force "$id"
    call delete "$id"
    left
}

case_delete_paused() {
    bundle
    running
    "$runtime" --root "$root" pause "$id"
    call delete "$id"
    call delete --force "$id"
    left
}

case_delete_stopped() {
    bundle
    stopped
    call delete "$id"
    call state "$id"
    left
}

case_delete_of_nothing() {
    call delete nonesuch
    call delete --force nonesuch
    call delete -f nonesuch
}

# --- list, ps

case_list_nothing() {
    call list
    call list --quiet
    call list --format json
    call list --format nonesuch
}

case_list() {
    bundle
    running
    call list --quiet
    call list --format json
    "$runtime" --root "$root" list >out
    show awk '{ print $1, $3, NF }' out
    "$runtime" --root "$root" kill "$id" KILL
    until_status stopped
    call list --format json
}

case_ps() {
    bundle
    running
    "$runtime" --root "$root" ps "$id" >out
    show awk '{ print $1, $NF, (NR == 1 ? $2 : "") }' out
    "$runtime" --root "$root" ps --format json "$id" >out
    show jq -c 'map(type)' out
    call ps "$id" -o comm
    call ps --format nonesuch "$id"
    call ps nonesuch
}

case_ps_stopped() {
    bundle
    stopped
    call ps --format json "$id"
}

# --- pause, resume

case_pause() {
    bundle
    running
    call pause "$id"
    call pause "$id"
    call resume "$id"
    call resume "$id"
    call state "$id"
}

case_pause_in_states() {
    bundle
    create
    call pause "$id"
    call resume "$id"
    start
    "$runtime" --root "$root" kill "$id" KILL
    until_status stopped
    call pause "$id"
    call resume "$id"
    call pause nonesuch
    call resume nonesuch
}

# --- update, events

# What a file of the container's cgroup holds.
in_cgroup() { # controller file
    local pid path
    pid=$("$runtime" --root "$root" state "$id" | jq .pid)
    path=$(awk -F: -v c="$1" '("," $2 ",") ~ ("," c ",") { print $3 }' "/proc/$pid/cgroup")
    echo "- $2: $(cat "/sys/fs/cgroup/$1$path/$2")"
}

case_update() {
    bundle
    running
    call update --memory 67108864 --memory-swap 67108864 --cpu-share 512 --pids-limit 20 "$id"
    in_cgroup memory memory.limit_in_bytes
    in_cgroup cpu cpu.shares
    in_cgroup pids pids.max
    call update --memory 64M "$id"
    call update --cpu-period 50000 --cpu-quota 25000 --cpuset-cpus 0 "$id"
    in_cgroup cpu cpu.cfs_quota_us
    in_cgroup cpuset cpuset.cpus
    echo '{"memory": {"limit": 33554432}, "cpu": {"shares": 256}}' >resources.json
    call update --resources resources.json "$id"
    in_cgroup memory memory.limit_in_bytes
    in_cgroup cpu cpu.shares
}

case_update_refused() {
    bundle
    running
    call update --memory nonesuch "$id"
    call update --resources nonesuch.json "$id"
    call update --cpuset-cpus 4000 "$id"
    call update --memory 1000000 nonesuch
    "$runtime" --root "$root" kill "$id" KILL
    until_status stopped
    call update --memory 67108864 "$id"
}

case_events() {
    bundle '.linux.resources.memory = {limit: 67108864} | .linux.resources.pids = {limit: 50}'
    running
    timeout 20 "$runtime" --root "$root" events --stats "$id" >out 2>err
    echo "status $?"
    show jq -r '.type, .id' out
    show jq -c '.data | keys' out
    show jq -c '.data.cpu | keys, (.usage | keys), (.throttling | keys)' out
    show jq -c '.data.memory | keys, (.usage | keys), .usage.limit' out
    show jq -c '.data.pids' out
}

case_events_refused() {
    bundle
    stopped
    call events --stats "$id"
    call events --stats nonesuch
    call events --interval 0s "$id"
}

# --- spec, features

case_spec() {
    call spec
    show jq --sort-keys . config.json
    call spec
    mkdir other
    call spec --bundle other
    show cmp config.json other/config.json
    call spec --bundle nonesuch
}

case_spec_rootless() {
    call spec --rootless
    show jq --sort-keys . config.json
}

# Whatever runc says that it can, by list.
case_features() {
    local list
    "$logs/runtimes/runc" features >runc.json
    "$runtime" features >out
    echo "status $?"
    for list in .hooks .mountOptions .linux.namespaces .linux.capabilities .linux.seccomp.actions \
        .linux.seccomp.operators .linux.seccomp.archs; do
        echo "- $list lacks: $(jq -cn --slurpfile runc runc.json --slurpfile own out \
            "(\$runc[0] | $list) - (\$own[0] | $list // [])")"
    done
}

# --- what is left over, and what tare has not

case_bundle_untouched() {
    bundle '.process.args = ["true"]'
    find bundle | sort >before
    call run --bundle bundle "$id"
    find bundle | sort >after
    show diff before after
}

case_checkpoint() {
    bundle
    running
    refused checkpoint --help
    refused checkpoint "$id"
    call state "$id"
}
