"""From distances to CMC and mAP under named protocols. Needs numpy alone: other code may use it by itself.

distances: blocks of distances between queries and gallery; metrics: the distances by name; protocols: what the gallery holds;
ranking: `evaluate`, from distances to results.
"""
