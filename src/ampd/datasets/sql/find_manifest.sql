SELECT kind, path FROM manifests WHERE hash = %(hash)s
