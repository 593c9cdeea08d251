# shellcheck shell=bash
# What a case is written with: calls that are recorded, and bundles to call with.

root=$PWD/root
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# The words of errors that an engine, a script or a test of somebody's looks for.
words=(
    'executable file not found in \$PATH'
    'no such file or directory'
    'permission denied'
    'not a directory'
    'is a directory'
    'operation not permitted'
    'already exists'
    'does not exist'
    'not running'
    'process already finished'
    'stopped'
    'paused'
    'invalid id format'
    'unknown signal'
    'is not stopped'
    'cannot start'
)

# Runs the runtime, and records what it did.
call() { # argument...
    local status=0
    timeout 20 "$runtime" --root "$root" "$@" >out 2>err </dev/null || status=$?
    record $status "$@"
}

# Makes a call that is wrong in itself, of whose answer only the status matters.
refused() { # argument...
    local status=0
    timeout 20 "$runtime" --root "$root" "$@" &>out </dev/null || status=$?
    echo "\$ $*: status $status, $([[ -s out ]] && echo with words)"
}

record() { # status argument...
    echo "\$ ${*:2}" | normalised
    echo "  status $1"
    sed 's/^/  out: /' out | normalised
    said <err
}

# An error, as the words of it that are in the list.
said() {
    local text word
    text=$(cat)
    [[ -z $text ]] && return
    for word in "${words[@]}"; do
        grep --quiet --ignore-case --extended-regexp -- "$word" <<<"$text" && echo "  says: $word"
    done
    echo "  says something"
}

# Puts names in place of what is new every time.
normalised() {
    sed -E \
        -e "s#$PWD#DIR#g" -e "s#$runtime#RUNTIME#g" \
        -e 's#pid:\[[0-9]+\]#NAMESPACE#g' \
        -e 's#/proc/[0-9]+#/proc/PID#' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/TIME/g' \
        -e 's/"pid": ?[1-9][0-9]*/"pid": PID/' -e 's/"init_process_pid": ?[1-9][0-9]*/"init_process_pid": PID/'
}

# What a command of ours prints.
show() { # command...
    echo "- $*" | normalised
    "$@" 2>&1 | sed 's/^/  /' | normalised
}

# Makes ./bundle with busybox and runc's default config, changed by a jq filter.
bundle() { # [jq filter]
    mkdir -p bundle/rootfs/{bin,dev,etc,proc,sys,tmp}
    cp /bin/busybox bundle/rootfs/bin/busybox
    chroot bundle/rootfs /bin/busybox --install -s /bin
    echo plain >bundle/rootfs/etc/plain
    rm -f bundle/config.json
    (cd bundle && "$logs/runtimes/runc" spec)
    edit '.process.terminal = false | .process.args = ["sleep", "1000"]'
    edit "${1:-.}"
}

edit() { # jq filter
    jq "$1" bundle/config.json >bundle/config.new
    mv bundle/config.new bundle/config.json
}

# The id of the case's container.
id=c-$case

create() { timeout 20 "$runtime" --root "$root" create --bundle bundle "$id" </dev/null &>/dev/null; }
start() { "$runtime" --root "$root" start "$id" &>/dev/null; }
running() { create && start; }
stopped() {
    running
    "$runtime" --root "$root" kill "$id" KILL
    until_status stopped
}

status() { "$runtime" --root "$root" state "$id" 2>/dev/null | jq -r .status; }

until_status() { # status
    for _ in {1..100}; do
        [[ $(status) == "$1" ]] && return
        sleep 0.05
    done
}

# What is left of all containers, in files and cgroups.
left() {
    echo "- left: $(find "$root" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l) state, $(
        find /sys/fs/cgroup -type d -name "$id*" | wc -l) cgroups"
}

clean_up() {
    local one
    for one in $("$runtime" --root "$root" list -q 2>/dev/null); do
        "$runtime" --root "$root" delete --force "$one" &>/dev/null
    done
}
