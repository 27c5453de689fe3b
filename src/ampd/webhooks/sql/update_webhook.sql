-- All settings of an endpoint but its key; no row when there is no such endpoint. One that is enabled again begins with a clean slate.
UPDATE webhooks
SET url = %(url)s, description = %(description)s, events = %(events)s, kinds = %(kinds)s::text[], products = %(products)s::text[],
    envs = %(envs)s::text[], dataset_namespaces = %(dataset_namespaces)s::text[], enabled = %(enabled)s,
    disabled_reason = CASE WHEN NOT %(enabled)s THEN coalesce(disabled_reason, 'OPERATOR') END,
    disabled_at = CASE WHEN NOT %(enabled)s THEN coalesce(disabled_at, now()) END,
    failing_since = CASE WHEN enabled = %(enabled)s AND url = %(url)s THEN failing_since END,
    last_failure_at = CASE WHEN enabled = %(enabled)s AND url = %(url)s THEN last_failure_at END,
    resume_at = CASE WHEN enabled = %(enabled)s AND url = %(url)s THEN resume_at END,
    updated_at = now()
WHERE id = %(webhook_id)s
RETURNING id
