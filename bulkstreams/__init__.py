"""bulkstreams: bulk provisioning of Auth0 event streams, each created exactly once."""
