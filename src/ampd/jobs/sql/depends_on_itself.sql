-- Whether a job waits for itself by way of those that it depends on.
WITH RECURSIVE needed (id) AS (
    SELECT other.id FROM job_dependencies d
    JOIN jobs other ON other.id = d.depends_on_id OR other.idempotency_key = d.depends_on_key
    WHERE d.job_id = %(job_id)s
    UNION
    SELECT other.id FROM needed
    JOIN job_dependencies d ON d.job_id = needed.id
    JOIN jobs other ON other.id = d.depends_on_id OR other.idempotency_key = d.depends_on_key
)
SELECT EXISTS (SELECT FROM needed WHERE id = %(job_id)s) AS cycle
