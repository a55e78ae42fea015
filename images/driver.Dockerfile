# The driver: one static executable. Context: the directory that images/build.sh fills.
FROM scratch
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="secrets-store-driver" \
      org.opencontainers.image.description="Secrets Store CSI driver" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY secrets-store-driver /usr/local/bin/secrets-store-driver
# root, because the driver mounts
USER 0:0
ENTRYPOINT ["/usr/local/bin/secrets-store-driver"]
