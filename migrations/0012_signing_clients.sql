-- migrate:up

-- Clients with keys: those that prove themselves by what they sign, and those that sign their authorization requests or
-- push them. With the defaults a client is what it was.
ALTER TABLE auth.clients
    ADD COLUMN jwks                                  jsonb,
    ADD COLUMN jwks_uri                              text,
    ADD COLUMN token_endpoint_auth_signing_alg       text,
    ADD COLUMN request_object_signing_alg            text,
    ADD COLUMN require_pushed_authorization_requests boolean NOT NULL DEFAULT false,
    ADD COLUMN require_signed_request_object         boolean NOT NULL DEFAULT false;

-- Assertions that have been here: none is good twice. A digest of client and jti; kept until the assertion is over anyway.
CREATE TABLE auth.used_assertions (
    digest     bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_assertions_by_expiry ON auth.used_assertions (expires_at);

-- Authorization requests that clients have pushed, to be answered once. Of the request_uri there is only a digest.
CREATE TABLE auth.pushed_requests (
    digest      bytea PRIMARY KEY,
    client_id   text NOT NULL REFERENCES auth.clients (client_id) ON DELETE CASCADE,
    parameters  jsonb NOT NULL,
    is_signed   boolean NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    consumed_at timestamptz
);
CREATE INDEX pushed_requests_by_expiry ON auth.pushed_requests (expires_at);
CREATE INDEX pushed_requests_by_client ON auth.pushed_requests (client_id);

-- migrate:down

-- A worker of the version before does not know this method. Such a client has no secret, so it is nobody until it is
-- given one. The trigger of 0007 has to be done before the table changes.
SET CONSTRAINTS auth.raise_version IMMEDIATE;
UPDATE auth.clients SET token_endpoint_auth_method = NULL WHERE token_endpoint_auth_method = 'private_key_jwt';
DROP TABLE auth.pushed_requests;
DROP TABLE auth.used_assertions;
ALTER TABLE auth.clients
    DROP COLUMN jwks,
    DROP COLUMN jwks_uri,
    DROP COLUMN token_endpoint_auth_signing_alg,
    DROP COLUMN request_object_signing_alg,
    DROP COLUMN require_pushed_authorization_requests,
    DROP COLUMN require_signed_request_object;
