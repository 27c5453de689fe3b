-- The job of a key, locked: the decision of a deploy is taken under this lock (design section 4.1).
SELECT id, state, input, worker_selector, priority, retries, retry_policy, schedule FROM jobs WHERE idempotency_key = %(idempotency_key)s FOR UPDATE
