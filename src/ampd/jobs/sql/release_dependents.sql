-- Of some locked jobs, those whose dependencies have all completed wait for nothing but a worker from now on.
UPDATE jobs j
SET dependencies_met = true, updated_at = CASE j.state WHEN 'STOPPED' THEN j.updated_at ELSE now() END
WHERE j.id = ANY (%(job_ids)s::bigint[]) AND j.state IN ('SCHEDULED', 'PAUSED', 'STOPPED') AND NOT j.dependencies_met
  AND NOT EXISTS (
      SELECT FROM job_dependencies d
      LEFT JOIN jobs other ON other.id = d.depends_on_id OR other.idempotency_key = d.depends_on_key
      WHERE d.job_id = j.id AND other.state IS DISTINCT FROM 'COMPLETED')
RETURNING j.id
