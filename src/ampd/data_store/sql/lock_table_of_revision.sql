-- The tables that a revision is of, locked before the revision itself: in this order jobs take them when they begin to write.
SELECT t.id FROM physical_tables t
JOIN table_revisions r ON r.id = %(id)s AND (
    t.active_revision_id = r.id
    OR (t.dataset_namespace = r.metadata ->> 'dataset_namespace' AND t.dataset_name = r.metadata ->> 'dataset_name'
        AND t.manifest_hash = r.metadata ->> 'manifest_hash' AND t.table_name = r.metadata ->> 'table_name'))
ORDER BY t.id FOR UPDATE OF t
