-- An operator keeps work away from a worker, or lets it come again.
UPDATE workers SET cordoned = %(cordoned)s WHERE node_id = %(node_id)s RETURNING node_id
