#!/usr/bin/env bash
# Builds the server's container image, with whichever of docker, podman and buildah works here. What is given goes to its build.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$(sed -n '/^\[workspace.package\]/,/^version/s/^version = "\(.*\)"/\1/p' Cargo.toml)
build=(-f server/packaging/Dockerfile -t fieldbook-server -t "fieldbook-server:$version" "$@" .)

# A docker client without its engine is no docker. The other two drop the HEALTHCHECK from any other format.
if docker info >/dev/null 2>&1; then
    DOCKER_BUILDKIT=1 docker build "${build[@]}"
elif command -v podman >/dev/null; then
    podman build --format docker "${build[@]}"
elif command -v buildah >/dev/null; then
    buildah build --format docker "${build[@]}"
else
    echo "image: missing: docker (with its engine running), podman or buildah" >&2
    exit 1
fi
