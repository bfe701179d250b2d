# syntax=docker/dockerfile:1
# Build for another architecture with `docker buildx build --platform linux/amd64,linux/arm64`.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# Named in Cargo.toml, so Cargo wants to see them, though neither is built here.
COPY benches benches
COPY tests/cluster/main.rs tests/cluster/main.rs
ARG REVISION=unknown
RUN PORTCULLIS_REVISION=${REVISION} cargo build --release --locked --bin portcullis

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/portcullis /usr/local/bin/portcullis
# `nonroot` by number, so that Kubernetes can check runAsNonRoot.
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/usr/local/bin/portcullis"]
CMD ["serve", "--listen", "0.0.0.0:8443", "--ops-listen", "0.0.0.0:8080", "--log-format", "json"]
