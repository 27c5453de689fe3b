-- depends: 0010_tokens
-- phase: pre

-- Who has signed in to the dashboard. A cookie itself is stored nowhere: only its SHA-256. A session is never more than its token: whatever
-- becomes of that counts at once. No index on used_at, so that noting a use costs none: there are few rows, and old ones go with each sign-in.
CREATE TABLE sessions (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    token_id   bigint NOT NULL REFERENCES tokens ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at    timestamptz NOT NULL DEFAULT now() -- to the minute
) WITH (fillfactor = 50);
