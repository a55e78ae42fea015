# The Azure provider: one static executable and the public CAs. Context: the directory that images/build.sh fills.
FROM scratch
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="secrets-store-provider-azure" \
      org.opencontainers.image.description="Azure Key Vault provider for the Secrets Store CSI driver" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY secrets-store-provider-azure /usr/local/bin/secrets-store-provider-azure
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/secrets-store-provider-azure"]
