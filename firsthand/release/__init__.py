"""Release: exactly the footage that a run may use, scrubbed, in sealed shards."""
