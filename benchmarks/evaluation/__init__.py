"""From distances to CMC and mAP under named protocols. Other code may use it by itself.

It needs numpy alone, and torch where a GPU holds the features.

distances: blocks of distances between queries and gallery; metrics: the distances by name; protocols: what the gallery holds;
ranking: `evaluate`, from distances to results.
"""
