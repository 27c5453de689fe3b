-- depends: 0003_block_ranges

-- Until when a node wants no requests, for all workers that use it. The key is a hash: URLs hold secrets.
CREATE TABLE endpoint_cooldowns (
    endpoint_key text PRIMARY KEY CHECK (endpoint_key ~ '^[0-9a-f]{64}$'),
    ends_at      timestamptz NOT NULL,
    reason       text NOT NULL, -- what the node said; without secrets
    began_at     timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
