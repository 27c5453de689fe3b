-- A manifest; for somebody who sees some namespaces only when it is that of a dataset there.
SELECT kind, path FROM manifests
WHERE hash = %(hash)s
  AND (%(visible)s::text[] IS NULL
       OR EXISTS (SELECT FROM dataset_manifests dm WHERE dm.hash = %(hash)s AND dm.namespace = ANY (%(visible)s::text[])))
