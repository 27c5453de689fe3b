-- How many files of some revisions count, and their bytes: the runs have them summed up.
SELECT coalesce(sum(files_count), 0) AS files, coalesce(sum(total_size_bytes), 0) AS bytes FROM block_runs
WHERE revision_id = ANY (%(revision_ids)s)
