-- The job of an idempotency key, with the hash of the request that created it.
SELECT id, request_hash, execution_number FROM jobs WHERE idempotency_key = %(idempotency_key)s
