-- A draining worker gets no new work.
UPDATE workers SET draining = true WHERE node_id = %(node_id)s AND incarnation = %(incarnation)s
