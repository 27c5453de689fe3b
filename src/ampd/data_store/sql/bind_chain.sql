-- The chain id of the revisions; set where it was open.
UPDATE table_revisions
SET metadata = metadata || CASE WHEN metadata ? 'chain_id' THEN '{}'::jsonb
                                ELSE jsonb_build_object('chain_id', %(chain_id)s::bigint) END
WHERE id = ANY (%(ids)s)
RETURNING path, (metadata ->> 'chain_id')::bigint AS chain_id
