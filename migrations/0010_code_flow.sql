-- migrate:up

-- A session that a browser holds by a cookie. Sessions of login UIs have none.
ALTER TABLE auth.sessions
    ADD COLUMN cookie_digest bytea UNIQUE,
    ADD COLUMN idle_until    timestamptz;

-- What the authorization endpoint has handed out, to be redeemed once. Of the code itself there is only a digest.
CREATE TABLE auth.authorization_codes (
    digest           bytea PRIMARY KEY,
    client_id        text NOT NULL REFERENCES auth.clients (client_id) ON DELETE CASCADE,
    sub              text NOT NULL REFERENCES auth.users (sub) ON DELETE CASCADE,
    sid              text NOT NULL REFERENCES auth.sessions (sid) ON DELETE CASCADE,
    redirect_uri     text,
    scope            text[] NOT NULL,
    resources        text[] NOT NULL,
    code_challenge   text,
    nonce            text,
    claims           jsonb,
    gen_user         bigint NOT NULL,
    gen_client       bigint NOT NULL,
    gen_everything   bigint NOT NULL,
    methods          text[] NOT NULL,
    authenticated_at timestamptz NOT NULL,
    session_ends_at  timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    consumed_at      timestamptz,
    grant_id         text
);
CREATE INDEX authorization_codes_by_expiry ON auth.authorization_codes (expires_at);
CREATE INDEX authorization_codes_by_session ON auth.authorization_codes (sid);
CREATE INDEX authorization_codes_by_user ON auth.authorization_codes (sub);
CREATE INDEX authorization_codes_by_client ON auth.authorization_codes (client_id);

-- What a user has allowed a client.
CREATE TABLE auth.consents (
    sub        text NOT NULL REFERENCES auth.users (sub) ON DELETE CASCADE,
    client_id  text NOT NULL REFERENCES auth.clients (client_id) ON DELETE CASCADE,
    scope      text[] NOT NULL,
    resources  text[] NOT NULL,
    claims     text[] NOT NULL,
    granted_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (sub, client_id)
);
CREATE INDEX consents_by_client ON auth.consents (client_id);

-- migrate:down

DROP TABLE auth.consents;
DROP TABLE auth.authorization_codes;
ALTER TABLE auth.sessions DROP COLUMN idle_until, DROP COLUMN cookie_digest;
