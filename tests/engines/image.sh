# shellcheck shell=bash
# Makes the image that all checks use, from nothing but a static busybox: a file that
# every engine can load (the format of `docker save`).

# As Kubernetes' own: it ends when told to, and is no `sleep`, which a spec of critest looks for.
pause_command='["sh", "-c", "trap exit TERM; tail -f /dev/null & wait"]'

make_image() { # file name command [function that changes its root, in there]
    local file=$1 name=$2 command=$3 change=${4-true} dir layer config
    dir=$(mktemp --directory)
    mkdir -p "$dir"/root/{bin,dev,etc,home/user,proc,root,sys,tmp,usr/bin,var/www}
    cp /bin/busybox "$dir/root/bin/busybox"
    chmod 1777 "$dir/root/tmp"
    chroot "$dir/root" /bin/busybox --install -s /bin
    echo 'root:x:0:0:root:/root:/bin/sh
user:x:1000:1000:user:/home/user:/bin/sh' >"$dir/root/etc/passwd"
    echo 'root:x:0:
user:x:1000:
extra:x:2000:user' >"$dir/root/etc/group"
    chown 1000:1000 "$dir/root/home/user"
    echo 'hello from the image' >"$dir/root/var/www/index.html"
    echo 'not a program' >"$dir/root/etc/plain"
    (cd "$dir/root" && "$change")
    tar --create --file "$dir/layer.tar" --directory "$dir/root" --numeric-owner --sort=name --mtime=@0 .
    layer=$(sha256sum "$dir/layer.tar" | cut -d' ' -f1)
    cat >"$dir/config.json" <<JSON
{"architecture": "$(dpkg --print-architecture)", "os": "linux", "created": "2020-01-01T00:00:00Z",
 "config": {"Env": ["PATH=/bin:/usr/bin", "FROM_IMAGE=yes"], "Cmd": $command, "WorkingDir": "/"},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$layer"]},
 "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "image.sh"}]}
JSON
    config=$(sha256sum "$dir/config.json" | cut -d' ' -f1)
    mv "$dir/config.json" "$dir/$config.json"
    echo "[{\"Config\": \"$config.json\", \"RepoTags\": [\"$name\"], \"Layers\": [\"layer.tar\"]}]" >"$dir/manifest.json"
    tar --create --file "$file" --directory "$dir" "$config.json" layer.tar manifest.json
    rm -rf "$dir"
}
