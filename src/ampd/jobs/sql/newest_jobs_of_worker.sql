-- The same, of the jobs that a worker has at the moment: they are few, read all of them.
SELECT * FROM (
    SELECT * FROM jobs
    WHERE worker_id = %(worker_id)s AND worker_incarnation IS NOT NULL AND state = ANY (%(states)s) AND {conditions}
    OFFSET 0
) held
ORDER BY id DESC
LIMIT %(limit)s OFFSET %(offset)s
