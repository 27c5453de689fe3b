-- A new endpoint and its key; no row when another has the URL.
WITH webhook AS (
    INSERT INTO webhooks (url, description, events, kinds, products, envs, dataset_namespaces, enabled, disabled_reason, disabled_at)
    VALUES (%(url)s, %(description)s, %(events)s, %(kinds)s::text[], %(products)s::text[], %(envs)s::text[], %(dataset_namespaces)s::text[],
            %(enabled)s, CASE WHEN NOT %(enabled)s THEN 'OPERATOR' END, CASE WHEN NOT %(enabled)s THEN now() END)
    ON CONFLICT (url) DO NOTHING
    RETURNING id
), key AS (
    INSERT INTO webhook_keys (webhook_id, key) SELECT id, %(key)s FROM webhook
)
SELECT id FROM webhook
