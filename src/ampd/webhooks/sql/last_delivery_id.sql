-- Where the log of an endpoint ends at this moment.
SELECT coalesce(max(id), 0) AS id FROM webhook_deliveries WHERE webhook_id = %(webhook_id)s
