-- Those of some borders (each the first block behind it) that lie within a file of every one of some revisions.
SELECT border FROM unnest(%(borders)s::bigint[]) AS border
WHERE NOT EXISTS (
    SELECT FROM unnest(%(revision_ids)s::bigint[]) AS revision (id)
    WHERE coalesce((
        SELECT f.end_block FROM files f
        WHERE f.revision_id = revision.id AND f.start_block < border ORDER BY f.start_block DESC LIMIT 1
    ) < border, true)
)
ORDER BY border
