-- Jobs that wait for some of the given ones, locked. What they still wait for is judged by the next statement, which sees all that had been
-- committed when the locks were got: of two that complete at once the later one releases.
SELECT j.id
FROM jobs j
WHERE j.state = 'SCHEDULED' AND NOT j.dependencies_met
  AND j.id IN (
      SELECT d.job_id FROM job_dependencies d WHERE d.depends_on_id = ANY (%(job_ids)s::bigint[])
      UNION ALL
      SELECT d.job_id FROM job_dependencies d WHERE d.depends_on_key = ANY (%(keys)s::text[]))
ORDER BY j.id
FOR UPDATE
