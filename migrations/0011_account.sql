-- migrate:up

-- What a user knows a session by: what they logged in with, in a few words, and from where. And when it was last used,
-- to the minute: it is written where `idle_until` is.
ALTER TABLE auth.sessions
    ADD COLUMN device  text,
    ADD COLUMN address text,
    ADD COLUMN seen_at timestamptz;

ALTER TABLE auth.users ADD COLUMN password_changed_at timestamptz;

-- migrate:down

ALTER TABLE auth.users DROP COLUMN password_changed_at;
ALTER TABLE auth.sessions DROP COLUMN seen_at, DROP COLUMN address, DROP COLUMN device;
