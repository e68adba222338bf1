-- migrate:up

-- When the claims about a user were last changed; null: never since the user was made.
ALTER TABLE auth.users ADD COLUMN updated_at timestamptz;

-- What the authorization request asked for claim by claim (OpenID Connect Core §5.5); null: nothing.
ALTER TABLE auth.grants ADD COLUMN claims jsonb;

-- migrate:down

ALTER TABLE auth.grants DROP COLUMN claims;
ALTER TABLE auth.users DROP COLUMN updated_at;
