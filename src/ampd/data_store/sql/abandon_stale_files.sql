-- Files that were being written under a lease that is over.
UPDATE uncounted_files SET reason = 'ABANDONED', collect_at = now()
WHERE path IN (
    SELECT u.path FROM uncounted_files u
    WHERE u.reason = 'PENDING'
      AND NOT EXISTS (SELECT FROM block_range_leases l WHERE l.id = u.range_id AND l.epoch = u.epoch AND l.incarnation IS NOT NULL)
      AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = u.job_id AND j.lease_epoch = u.epoch AND j.state = ANY (%(held_states)s))
    FOR UPDATE OF u SKIP LOCKED
)
