-- migrate:up

ALTER TABLE auth.clients ADD COLUMN introspection_signed_response_alg text NOT NULL DEFAULT 'RS256';

-- migrate:down

ALTER TABLE auth.clients DROP COLUMN introspection_signed_response_alg;
