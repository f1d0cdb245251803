# The image of every role: operator, init container and sidecar. Nothing is in it but tulle, iptables in both variants for IPv4
# and IPv6, and the libraries they need: no shell, no package manager. Runs as user 65532, needs no writable path
# (the init container asks for root itself). `make image` makes the same content without a container engine.
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/tulle:VERSION --push .
#
# BASE gives the C library and iptables: a Debian with glibc. BUILD has Node and npm, to fetch Bun and compile.
ARG BASE=debian:12-slim
ARG BUILD=node:22-bookworm-slim

FROM --platform=$BUILDPLATFORM ${BUILD} AS binary
ARG TARGETARCH
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts && node node_modules/bun/install.js
COPY tsconfig.json ./
COPY scripts/build.sh scripts/build.sh
COPY charts charts
COPY examples examples
COPY src src
# Compiled on the builder's own architecture for the wanted one; amd64 without the instructions that older machines lack.
RUN case "$TARGETARCH" in amd64) target=bun-linux-x64-baseline ;; arm64) target=bun-linux-arm64 ;; \
      *) echo "no image for $TARGETARCH: amd64 and arm64 only" >&2; exit 1 ;; esac && TARGET=$target scripts/build.sh

FROM ${BASE} AS system
RUN apt-get update && apt-get install -y --no-install-recommends iptables && rm -rf /var/lib/apt/lists/*
COPY image /image
RUN /image/rootfs.sh /rootfs

FROM scratch
COPY --from=system /rootfs /
COPY --from=binary /src/dist/tulle /usr/local/bin/tulle
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LABEL org.opencontainers.image.title=tulle org.opencontainers.image.licenses=Apache-2.0
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/tulle"]
