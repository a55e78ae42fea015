/*
 * cluster_sni.h - the TLS server name (SNI) of AKS' token proxy, computed from the cluster's id. Pure.
 */
#ifndef PROVIDER_AZURE_IDENTITY_CLUSTER_SNI_H
#define PROVIDER_AZURE_IDENTITY_CLUSTER_SNI_H

/* The cluster's id in a DNS name "hcp-kubernetes.<ID>.svc.cluster.local" of the API server's certificate; the
 * caller frees. NULL for any other name, and on lack of memory. */
char *cluster_id_from_name(const char *name);

/* The server name for a cluster's id: "a<base32hex of a SHA-256>.ests.aks"; the caller frees. NULL on lack of
 * memory. */
char *cluster_sni_name(const char *cluster_id);

#endif
