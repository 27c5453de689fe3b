-- A table without revisions says nothing.
WITH tables AS (
    DELETE FROM physical_tables WHERE manifest_hash = %(hash)s
)
DELETE FROM manifests WHERE hash = %(hash)s
