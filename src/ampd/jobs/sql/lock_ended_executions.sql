-- Jobs whose execution ends, locked in the order of their ids, and what their timetables make of it.
SELECT id, recurring, next_run_at IS NULL AND queued_firings = 0 AS is_last,
       coalesce((schedule ->> 'pause_on_failure')::boolean, false) AS pause_on_failure
FROM jobs WHERE id = ANY (%(job_ids)s::bigint[])
ORDER BY id
FOR NO KEY UPDATE
