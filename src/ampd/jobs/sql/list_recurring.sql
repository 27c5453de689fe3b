-- Of some jobs, those with a timetable: while a worker has one it stays so.
SELECT id FROM jobs WHERE id = ANY (%(job_ids)s::bigint[]) AND recurring
