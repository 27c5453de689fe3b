-- An endpoint for this transaction: nobody chooses deliveries for it meanwhile. Without that, what stands behind a delivery could be put off
-- for its sake in the moment in which it ends.
SELECT FROM webhooks WHERE id = %(webhook_id)s FOR NO KEY UPDATE
