# The command-line client: one static executable. Context: the directory that images/build.sh fills.
FROM scratch
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="secrets-store-ctl" \
      org.opencontainers.image.description="Command-line client of the Secrets Store CSI driver and its providers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY secrets-store-ctl /usr/local/bin/secrets-store-ctl
# root, because the sockets on a node belong to root
USER 0:0
ENTRYPOINT ["/usr/local/bin/secrets-store-ctl"]
