-- An endpoint and its keys. Its deliveries follow by and by (expire_deliveries.sql); nothing is sent for it any more.
DELETE FROM webhooks WHERE id = %(webhook_id)s RETURNING id
