-- The timetable of a job, locked before it is changed.
SELECT id, state, stop_intent, recurring, schedule, rests, execution_count, queued_firings, worker_id, now() AS now
FROM jobs WHERE id = %(job_id)s FOR NO KEY UPDATE
