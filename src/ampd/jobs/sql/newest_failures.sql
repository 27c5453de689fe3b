-- The executions that failed last, the newest first. Whoever sees some namespaces only is shown theirs of the newest 2,000: so many are read at most.
SELECT f.job_id, f.number AS execution, j.kind, j.input, f.finished_at AS at, f.error
FROM (SELECT job_id, number, finished_at, error FROM job_executions
      WHERE outcome = 'FAILED'
      ORDER BY finished_at DESC LIMIT CASE WHEN %(visible)s::text[] IS NULL THEN %(limit)s ELSE 2000 END) f
JOIN jobs j ON j.id = f.job_id
WHERE %(visible)s::text[] IS NULL
   OR (j.kind IN ('extraction', 'verification', 'compaction') AND j.input ->> 'dataset_namespace' = ANY (%(visible)s::text[]))
ORDER BY f.finished_at DESC, f.job_id DESC
LIMIT %(limit)s
