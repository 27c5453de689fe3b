-- Nothing more of the job is begun. Who has a range finishes what is in hand of it.
WITH free AS (
    DELETE FROM block_range_leases WHERE job_id = %(job_id)s AND state = 'FREE'
)
UPDATE extraction_plans SET stops = true, updated_at = now() WHERE job_id = %(job_id)s
