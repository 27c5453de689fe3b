-- A worker that ended in good order is dead at once, not only after a lease: its last beat no longer belongs to its incarnation.
UPDATE worker_heartbeats SET incarnation = '00000000-0000-0000-0000-000000000000'
WHERE node_id = %(node_id)s AND incarnation = %(incarnation)s
