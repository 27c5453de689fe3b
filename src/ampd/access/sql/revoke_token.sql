-- End a token; a revocation that was before stays as it is.
UPDATE tokens SET revoked_at = now(), revoked_by = %(actor)s WHERE id = %(token_id)s AND revoked_at IS NULL RETURNING id
