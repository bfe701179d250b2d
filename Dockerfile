# syntax=docker/dockerfile:1
#
# For this machine:   docker build --build-arg REVISION="$(git rev-parse HEAD)" -t portcullis .
# For both platforms: docker buildx build --platform linux/amd64,linux/arm64 --push -t REGISTRY/portcullis:0.1.0 .
#
# The compiler runs on the builder's own platform and compiles for the other one: no emulation.
# Images are pinned by version. To pin the bytes as well, pass what `docker buildx imagetools inspect IMAGE` says:
# --build-arg BUILD_IMAGE=rust:1.95.0-slim-bookworm@sha256:… and the same for RUN_IMAGE.

ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
# libc, libgcc and a user: no shell, no package manager. The Debian of the build image, so that the libc fits.
ARG RUN_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS build
ARG BUILDARCH
ARG TARGETARCH
# The C compiler and libc of the target, for aws-lc and for linking; the image has its own platform's.
RUN <<'EOF'
set -eu
case $TARGETARCH in
    amd64) triple=x86_64-unknown-linux-gnu tools=x86-64-linux-gnu libc=libc6-dev-amd64-cross ;;
    arm64) triple=aarch64-unknown-linux-gnu tools=aarch64-linux-gnu libc=libc6-dev-arm64-cross ;;
    *) echo "no build for $TARGETARCH: linux/amd64 and linux/arm64 are supported" >&2; exit 1 ;;
esac
echo "$triple" >/triple
if [ "$TARGETARCH" != "$BUILDARCH" ]; then
    rustup target add "$triple"
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "gcc-$tools" "$libc"
    rm -rf /var/lib/apt/lists/*
fi
EOF
# Used for the platform that they name, by Cargo and by aws-lc's build alike.
ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CC_x86_64_unknown_linux_gnu=x86_64-linux-gnu-gcc \
    CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# Named in Cargo.toml, so Cargo wants to see them, though neither is built here.
COPY benches/limit_server.rs benches/limit_server.rs
COPY tests/cluster/main.rs tests/cluster/main.rs
ARG REVISION=unknown
# The caches are not part of the image, so the binary is copied out of theirs.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=target-$TARGETARCH,target=/src/target,sharing=locked \
    triple=$(cat /triple) && \
    PORTCULLIS_REVISION=$REVISION cargo build --locked --release --bin portcullis --target "$triple" && \
    cp "target/$triple/release/portcullis" /portcullis

FROM ${RUN_IMAGE}
LABEL org.opencontainers.image.title="portcullis" \
      org.opencontainers.image.description="A validating admission webhook for Kubernetes that judges what a change does to connectivity" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /portcullis /usr/local/bin/portcullis
# `nonroot` by number, so that Kubernetes can check runAsNonRoot.
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/usr/local/bin/portcullis"]
CMD ["serve", "--listen=0.0.0.0:8443", "--ops-listen=0.0.0.0:8080", "--log-format=json"]
