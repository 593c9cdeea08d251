# shellcheck shell=bash
# What a check is written with. A check is a function `check_NAME` in an engine's file;
# it runs in a shell of its own, with `set -e`, and fails where a command does.
# The run's log shows every command (set -x), so that a check says what it wants in a line.

# The image, of busybox alone; images.sh makes it.
export image=localhost/tare/busybox:1

# Ends the check as skipped, for a reason that is printed and counted.
skip() { # reason
    echo "$1" >"$verdict"
    exit 77
}

# What a failed check says of itself, before it fails.
fail() { # reason
    echo "$1" >"${verdict:-/dev/stderr}"
    exit 1
}

# Runs a command, keeps what it printed in $out, and fails unless it ends with this status.
expect() { # status command...
    local wanted=$1 status=0
    shift
    out=$("$@" 2>&1) || status=$?
    [[ $status == "$wanted" ]] || fail "status $status, wanted $wanted, of: $* [${out:0:600}]"
}

# Compares $out, or a value, with what was wanted.
is() { # wanted [found]
    local found=${2-$out}
    found=${found//$'\r'/}
    [[ $found == "$1" ]] || fail "found '${found:0:400}', wanted '$1'"
}

# Fails unless the text has a line that matches.
has() { # regular-expression [text]
    grep --quiet --extended-regexp -- "$1" <<<"${2-$out}" || fail "no '$1' in '${2-${out:0:600}}'"
}

lacks() { # regular-expression [text]
    ! grep --quiet --extended-regexp -- "$1" <<<"${2-$out}" || fail "a '$1' in '${2-${out:0:600}}'"
}

# Tries a command until it succeeds, for ten seconds.
eventually() { # command...
    local end=$((SECONDS + 10))
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "never came true: $*"
        sleep 0.1
    done
}

# Runs a command with a terminal of 33 lines of 77 columns, as an interactive user would.
# The end of script's own stdin shows as ^@.
with_terminal() { # command...
    script --quiet --return --echo never --command \
        "stty rows 33 cols 77; $(printf '%q ' "$@")" /dev/null </dev/null | sed 's/\^@//g'
}

# For a container's shell: says which terminal it has, and its size once that has come.
say_terminal='for i in $(seq 30); do [ "$(stty size 2>/dev/null)" != "33 77" ] || break; sleep 0.1; done; tty; stty size'

on_v2() {
    [[ -e /sys/fs/cgroup/cgroup.controllers ]]
}

# Whether this is the control, and not tare, which stands under the same name.
is_runc() { [[ $(/usr/local/bin/tare --version) == runc* ]]; }

# How often conmon may be asked whether it saw a container run out of memory: under cgroup v2 it
# misses every other one, runc's as well.
conmon_tries() { if on_v2; then echo 6; else echo 1; fi; }

has_cpuset() {
    ! on_v2 || grep --quiet --word-regexp cpuset /sys/fs/cgroup/cgroup.controllers
}

# The directory of a process's cgroup.
cgroup_of() { # pid controller-on-v1
    if on_v2; then
        echo "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$1/cgroup")"
    else
        echo "/sys/fs/cgroup/$2$(awk -F: -v c="$2" '("," $2 ",") ~ ("," c ",") { print $3 }' "/proc/$1/cgroup")"
    fi
}

# Whether the kernel can translate addresses, which published ports may want.
has_nat() {
    iptables --wait --table nat --new-chain tare-test 2>/dev/null && iptables --wait --table nat --delete-chain tare-test
}

# The CNI's network that pods are in.
install_network() {
    mkdir -p /etc/cni/net.d
    rm -f /etc/cni/net.d/*
    cp "$engines/cni.conflist" /etc/cni/net.d/10-tests.conflist
    has_nat || sed -i '/"ipMasq"/d' /etc/cni/net.d/10-tests.conflist
}

# Whether systemd manages the cgroups, and so is asked for each container's.
with_systemd() {
    [[ -d /run/systemd/system ]]
}

has_apparmor() {
    [[ $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) == Y ]] && command -v apparmor_parser >/dev/null
}

can() { # number of a capability
    (((0x$(awk '/^CapEff/ { print $2 }' /proc/self/status) >> $1) & 1))
}

# The lines of a documented file: the code block behind the line that names it.
documented() { # path
    awk -v path="\`$1\`" '
        /^ *```/ && inside { exit }
        inside { print }
        /^ *```/ && named { inside = 1; next }
        index($0, path) { named = 1 }
    ' "$engines/../../docs/engines.md" | grep . || fail "docs/engines.md does not show $1"
}

# Writes a documented file to where it belongs.
install_documented() { # path
    mkdir -p "$(dirname "$1")"
    documented "$1" >"$1"
}

# The names of an engine's checks; with SHORT those that its $short names.
list_checks() {
    if [[ -n ${SHORT-} ]]; then
        printf '%s\n' ${short-}
    else
        compgen -A function check_ | sed 's/^check_//'
    fi
}

# The words to skip an engine with: the first of these commands that is not there.
need() { # command package...
    while [[ $# -gt 0 ]]; do
        command -v "$1" >/dev/null || { echo "no $1 (Debian package $2)"; return 1; }
        shift 2
    done
}

# Starts a daemon that outlives this shell and ends with the private machine.
daemon() { # name command...
    local log=$logs/$1.daemon.log
    shift
    setsid "$@" </dev/null >>"$log" 2>&1 &
}
