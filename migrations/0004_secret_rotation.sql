-- migrate:up

-- secret_digests holds the secrets that authenticate, the newest first. The second is the one before, while a rotation
-- goes on: it ends at old_secret_expires_at. A worker of the version before reads the same column.
ALTER TABLE auth.clients
    ADD COLUMN secret_created_at     timestamptz,
    ADD COLUMN old_secret_expires_at timestamptz;

UPDATE auth.clients SET secret_created_at = created_at WHERE cardinality(secret_digests) > 0;

-- migrate:down

UPDATE auth.clients SET secret_digests = secret_digests[1:1];
ALTER TABLE auth.clients DROP COLUMN secret_created_at, DROP COLUMN old_secret_expires_at;
