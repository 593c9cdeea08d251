# shellcheck shell=bash
# Kubernetes' own suite for implementations of the CRI, over containerd: a check for each of
# its specs. A spec that fails is tried with runc too, and is skipped where runc fails it as well.

# shellcheck source=containerd.sh
. <(sed -n '/^start_containerd()/,/^}/p' "$engines/containerd.sh")
# shellcheck source=image.sh
. "$engines/image.sh"

short="PodSandbox_basic_operations_on_PodSandbox_running_PodSandbox Container_should_support_starting_container
    Container_should_support_execSync Streaming_should_support_exec_with_tty_true_and_stdin_true"
# Its specs mostly sleep, four seconds at a time.
factor=3
# They want the stats of all containers, those too that other specs remove meanwhile.
alone=Container_should_support_listing_stats_for_started_containers_when_filter_is_nil
alone+=" Container_should_support_listing_stats_for_three_created_containers_when_filter_is_nil"
socket=/run/containerd/containerd.sock
critest=${CARGO_TARGET_DIR:-$engines/../../target}/engines/cri-programs/critest

missing() {
    need containerd containerd jq jq /usr/lib/cni/bridge containernetworking-plugins || return
    [[ -x $critest ]] || { echo 'no critest (make test-engines builds it)'; return 1; }
}

# The suite's own images come from registries; these stand for what its specs want of them.
start() {
    start_containerd
    # By which its specs of AppArmor load their profiles.
    command -v sudo || install -m 755 /dev/stdin /usr/local/bin/sudo <<<$'#!/bin/sh\nexec "$@"'
    import_images
    eventually eval 'ctr --namespace k8s.io image list | grep predefined-group'
}

import_images() {
    local e2e=registry.k8s.io/e2e-test-images own=gcr.io/k8s-staging-cri-tools
    import localhost/tare/pause:1 "$pause_command"
    import $e2e/busybox:1.29-2 '["sh"]' add_tools
    import $e2e/nginx:1.14-2 '["/bin/nginx", "master process", "80"]' add_server
    import "$own/hostnet-nginx-$(dpkg --print-architecture):latest" '["/bin/nginx", "master process", "12003"]' add_server
    import $e2e/httpd:2.4.39-4 '["/bin/nginx", "httpd -D FOREGROUND", "80"]' add_server
    import $e2e/nonewprivs:1.3 '["/nnp"]' add_setuid
    import $own/test-image-predefined-group:latest '["sh"]' add_group
}

import() { # name command [function for make_image]
    make_image /var/tmp/critest-image.tar "$@"
    load_image /var/tmp/critest-image.tar
    rm /var/tmp/critest-image.tar
}

# What Debian's busybox lacks.
add_tools() {
    printf '#!/bin/sh\nexec pidof "$1"\n' >bin/pgrep
    printf '#!/bin/sh\nexec cat /proc/sysvipc/shm\n' >bin/ipcs
    chmod 755 bin/pgrep bin/ipcs
    # A spec masks it; by a symbolic link that were busybox.
    ln --force bin/busybox bin/ls
    echo 'nobody:x:65534:65534:nobody:/:/bin/sh' >>etc/passwd
}

load_image() { # file
    ctr --namespace k8s.io images import "$1"
}

# A program named nginx, which says what it is, and serves.
add_server() {
    mkdir -p var/run
    printf '#!/bin/sh\necho $$ >/var/run/nginx.pid\necho "$1"\nhttpd -f -p "$2" -h /var/www &\nwait\n' >bin/nginx
    chmod 755 bin/nginx
}

add_setuid() {
    cp "${critest%/*}/nnp" nnp
    chmod 4755 nnp
}

add_group() {
    printf 'root:x:0:\nuser:x:1000:\ngroup-defined-in-image:x:50000:user\n' >etc/group
}

# The specs that this machine has, a line each: the check's name, which is the spec's without the
# words that all have, and the full name; benchmarks are not among them.
list_specs() {
    local list=${logs:-/var/tmp}/critest.specs
    if [[ ! -s $list ]]; then
        "$critest" --ginkgo.dry-run --ginkgo.json-report="$list.json" >/dev/null
        jq --raw-output '.[0].SpecReports[] | select(.LeafNodeType == "It" and .State == "passed") |
            .ContainerHierarchyTexts + [.LeafNodeText] | join(" ")' "$list.json" |
            sed -E 'h; s/\[(k8s\.io|Conformance)\]//g; s/runtime should support [a-z ]*(runtime|mount|should) /\1 /
                s/runtime should (support )?//g; s/[^A-Za-z0-9]+/_/g; s/^_|_$//g; G; s/\n/ /' >"$list.new"
        mv "$list.new" "$list"
    fi
    cat "$list"
}

if [[ -x $critest ]]; then
    # Every check reads this: nothing in the loop may cost a process.
    while read -r check spec; do
        [[ $spec =~ ${only-} ]] || continue
        eval "check_$check() { try_spec ${spec@Q}; }"
    done < <(list_specs)
else
    # Counted once, as skipped.
    check_specs() { false; }
fi

try_spec() { # spec
    local failure
    # They would say so themselves, of any runtime, when they have waited for it.
    if [[ $1 =~ 'public image'|'listImage'|'image status' ]]; then skip 'it pulls images, and there is no registry here'; fi
    run_spec tare "$1"
    case $state in
    passed) return ;;
    skipped) skip "$reason" ;;
    esac
    failure=$reason
    command -v runc >/dev/null || fail "$failure"
    run_spec control "$1"
    [[ $state == failed ]] || fail "$failure"
    skip "fails with runc as well: $failure"
}

# Sets $state to passed, skipped or failed, and $reason to critest's words.
run_spec() { # runtime-handler spec
    local pattern report=/var/tmp/$name.json
    # shellcheck disable=SC2001 # no pattern of the shell's can repeat what it found
    pattern=$(sed 's/[][\\.^$*+?(){}|]/\\&/g' <<<"$2")
    "$critest" --runtime-endpoint "unix://$socket" --runtime-handler "$1" \
        --ginkgo.focus "$pattern\$" --ginkgo.no-color --ginkgo.json-report="$report" || true
    # Those that were not asked for are skipped without a word.
    read -r state reason < <(jq --raw-output '.[0].SpecReports[] | select(.LeafNodeType == "It") |
        select(.State != "skipped" or .Failure.Message) | "\(.State) \(.Failure.Message // "" | gsub("\\s+"; " "))"' "$report")
}
