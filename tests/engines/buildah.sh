# shellcheck shell=bash
# buildah, which calls the runtime itself, without conmon, for each RUN.

# shellcheck source=podman.sh
. <(sed -n '/^configure()/,/^}/p' "$engines/podman.sh")

missing() { need buildah buildah /usr/lib/cni/bridge containernetworking-plugins; }

export STORAGE_DRIVER=overlay BUILDAH_ISOLATION=oci BUILDAH_RUNTIME=/usr/local/bin/tare

start() {
    configure
    buildah pull "docker-archive:$archive"
}

# Makes $container from the image.
from() {
    container=$(buildah from --name "$name" $image)
}

check_run() {
    from
    expect 0 buildah run "$container" -- sh -c 'echo hi >/file; cat /file'
    is hi
    expect 0 buildah run "$container" -- cat /file
    is hi
}

check_exit_code() {
    from
    expect 7 buildah run "$container" -- sh -c 'exit 7'
}

check_not_found() {
    from
    local status=0
    out=$(buildah run "$container" -- nonesuch 2>&1) || status=$?
    [[ $status != 0 ]]
    has 'executable file not found in \$PATH'
}

check_user_and_directory() {
    from
    buildah config --workingdir /tmp --user user "$container"
    expect 0 buildah run "$container" -- sh -c 'pwd; id -un'
    is '/tmp
user'
}

check_terminal() {
    from
    expect 0 with_terminal buildah run --tty "$container" -- tty
    has '/dev/pts/0|/dev/console'
}

check_stdin() {
    from
    out=$(echo from outside | buildah run "$container" -- cat)
    is 'from outside'
}

check_volume() {
    from
    mkdir -p "/var/tmp/$name"
    echo outside >"/var/tmp/$name/file"
    expect 0 buildah run --volume "/var/tmp/$name:/data:ro" "$container" -- cat /data/file
    is outside
}

check_network() {
    from
    expect 0 buildah run --network none "$container" -- ls /sys/class/net
    is lo
    expect 0 buildah run --network host "$container" -- readlink /proc/self/ns/net
    is "$(readlink /proc/self/ns/net)"
}

check_capabilities() {
    from
    expect 0 buildah run --cap-drop CAP_CHOWN "$container" -- awk '/CapEff/ { print $2 }' /proc/self/status
    is 0 $(((0x$out >> 0) & 1))
}

check_build() {
    mkdir "/var/tmp/$name"
    cat >"/var/tmp/$name/Containerfile" <<FILE
FROM $image
WORKDIR /work
RUN echo "as \$(id -u) in \$(pwd)" >/result
USER user
RUN id -un >>/tmp/user && cat /result /tmp/user
FILE
    expect 0 buildah build --layers --tag "localhost/$name" "/var/tmp/$name"
    has '^as 0 in /work$'
    has '^user$'
    from
}

check_build_failure() {
    mkdir "/var/tmp/$name"
    printf 'FROM %s\nRUN exit 23\n' $image >"/var/tmp/$name/Containerfile"
    local status=0
    out=$(buildah build "/var/tmp/$name" 2>&1) || status=$?
    [[ $status != 0 ]]
    has 'exit status 23'
}

check_commit() {
    from
    buildah run "$container" -- sh -c 'echo more >/added'
    buildah commit "$container" "localhost/$name:new"
    local other
    other=$(buildah from "localhost/$name:new")
    expect 0 buildah run "$other" -- cat /added
    is more
}

check_nothing_left() {
    from
    buildah run "$container" -- true
    eventually eval '[[ -z $(ls /run/tare 2>/dev/null | grep buildah) ]]'
}
