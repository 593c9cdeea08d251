# shellcheck shell=bash
# What critest leaves out over a containerd before 2.0, which does not ask the runtime for its
# `features`: user namespaces and recursive read-only mounts, over CRI-O.

# shellcheck source=crio.sh
. "$engines/crio.sh"
# shellcheck disable=SC2046 # several names
unset -f $(compgen -A function check_)
only='UserNamespaces|Mount Readonly'
# shellcheck source=critest.sh
. "$engines/critest.sh"

short=
alone=
socket=$CRI_SOCKET

missing() {
    [[ -x $critest ]] || { echo 'no critest (make test-engines builds it)'; return 1; }
    can 24 || { echo 'root has no CAP_SYS_RESOURCE here, and CRI-O wants oom_score_adj -998 for such pods'; return 1; }
    missing_crio
}

start() {
    start_all_of_crio
    import_images
}

load_image() { load_into_crio "$1"; }
