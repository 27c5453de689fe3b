-- An endpoint and its keys. Its deliveries follow by and by (expire_deliveries.sql); nothing is sent for it any more.
DELETE FROM webhooks w WHERE id = %(webhook_id)s AND (%(visible)s::text[] IS NULL OR w.dataset_namespaces <@ %(visible)s::text[]) RETURNING id
