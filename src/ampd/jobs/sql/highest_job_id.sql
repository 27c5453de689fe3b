-- Bulk operations stop at the highest id of their beginning.
SELECT coalesce(max(id), 0) AS id FROM jobs
