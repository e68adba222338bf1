-- migrate:up

-- By what clients know their users. With the defaults a client is what it was.
ALTER TABLE auth.clients
    ADD COLUMN subject_type          text NOT NULL DEFAULT 'public',
    ADD COLUMN sector_identifier_uri text;

-- migrate:down

-- A worker of the version before would tell such a client what its users are called everywhere else: it gets nothing.
-- The trigger of 0007 has to be done before the table changes.
SET CONSTRAINTS auth.raise_version IMMEDIATE;
UPDATE auth.clients SET disabled_at = coalesce(disabled_at, now()) WHERE subject_type = 'pairwise';
ALTER TABLE auth.clients
    DROP COLUMN subject_type,
    DROP COLUMN sector_identifier_uri;
