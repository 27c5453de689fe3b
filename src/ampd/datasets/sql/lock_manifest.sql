-- Whoever registers or links the manifest waits.
SELECT path FROM manifests WHERE hash = %(hash)s FOR UPDATE
