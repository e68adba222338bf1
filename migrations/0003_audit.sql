-- migrate:up

CREATE SCHEMA audit;

-- What happened, to whom, from where. Events are added and never changed; `seal` alone is filled in, once.
CREATE TABLE audit.security_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    event      text NOT NULL,
    level      text NOT NULL,
    via        text NOT NULL,
    request_id text,
    address    text,
    sub        text,
    client_id  text,
    sid        text,
    details    jsonb NOT NULL,
    seal       bigint
);
CREATE INDEX security_events_unsealed ON audit.security_events (id) WHERE seal IS NULL;
CREATE INDEX security_events_by_seal ON audit.security_events (seal);
CREATE INDEX security_events_by_user ON audit.security_events (sub, id);
CREATE INDEX security_events_by_client ON audit.security_events (client_id, id);
CREATE INDEX security_events_by_time ON audit.security_events (at);

-- The chain: each link is a keyed digest of one batch of events and of the link before.
CREATE TABLE audit.seals (
    number    bigint PRIMARY KEY,
    previous  bytea NOT NULL,
    events    bigint NOT NULL,
    digest    bytea NOT NULL,
    link      bytea NOT NULL,
    sealed_at timestamptz NOT NULL
);

-- Against an owner's slip; what an owner does on purpose breaks the chain.
CREATE FUNCTION audit.keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'security_events' AND TG_LEVEL = 'ROW' THEN
        IF TG_OP = 'UPDATE' AND OLD.seal IS NULL AND to_jsonb(OLD) - 'seal' = to_jsonb(NEW) - 'seal' THEN
            RETURN NEW;
        END IF;
        IF TG_OP = 'DELETE' AND OLD.seal IS NOT NULL AND OLD.at < now() - interval '28 days' THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit.% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON audit.security_events FOR EACH ROW EXECUTE FUNCTION audit.keep();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON audit.security_events FOR EACH STATEMENT EXECUTE FUNCTION audit.keep();
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON audit.seals FOR EACH ROW EXECUTE FUNCTION audit.keep();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON audit.seals FOR EACH STATEMENT EXECUTE FUNCTION audit.keep();

-- The one way to let old events go, with the owner's rights: whole batches, the oldest first. The number of events gone.
CREATE FUNCTION audit.forget(before timestamptz, batches integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    WITH oldest AS (
        SELECT DISTINCT e.seal FROM audit.security_events e WHERE e.seal IS NOT NULL ORDER BY e.seal LIMIT batches
    ), due AS (
        SELECT s.number FROM audit.seals s JOIN oldest o ON o.seal = s.number
         WHERE s.sealed_at < least(before, now() - interval '31 days')
    ), gone AS (
        DELETE FROM audit.security_events e USING due WHERE e.seal = due.number RETURNING 1
    )
    SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION audit.forget(timestamptz, integer) FROM PUBLIC;

-- migrate:down

DROP SCHEMA audit CASCADE;
