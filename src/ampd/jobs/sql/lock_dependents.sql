-- Jobs that wait for some of the given ones, locked; also those that were paused or stopped meanwhile and may go on. What they still wait for is judged by the next statement, which sees all that had been
-- committed when the locks were got: of two that complete at once the later one releases.
SELECT id FROM jobs
WHERE state IN ('SCHEDULED', 'PAUSED', 'STOPPED') AND NOT dependencies_met
  AND id = ANY (ARRAY(
      SELECT job_id FROM job_dependencies WHERE depends_on_id = ANY (%(job_ids)s::bigint[])
      UNION
      SELECT job_id FROM job_dependencies WHERE depends_on_key = ANY (%(keys)s::text[])))
ORDER BY id
FOR NO KEY UPDATE
