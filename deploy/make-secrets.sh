#!/bin/sh
# Makes what compose.yaml mounts from deploy/secrets/: passwords, the master key, and a self-signed certificate for
# localhost. What is already there stays as it is, so it can be run again, and your own certificate can be put there.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
cd secrets

# Compose mounts files as they are, and each service runs as a user of its own: so each file is readable by all, and
# the directory, on this machine, by you alone.
keep() {
    if [ -e "$1" ]; then
        cat >/dev/null
        return
    fi
    cat >"$1.new"
    chmod 0444 "$1.new"
    mv "$1.new" "$1"
    echo "made secrets/$1"
}
password() { openssl rand -hex 24; }

password | keep database-admin-password
password | keep database-password
echo "postgresql://authsvc:$(cat database-password)@postgres:5432/authsvc" | keep database-url
openssl rand -base64 32 | tr '+/' '-_' | tr -d '=' | keep master-key
password | keep redis-password
echo "redis://:$(cat redis-password)@valkey:6379/0" | keep redis-url
echo "requirepass $(cat redis-password)" | keep redis.conf
password | keep grafana-password

if [ ! -e tls.crt ] || [ ! -e tls.key ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=localhost \
        -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout tls.key -out tls.crt 2>/dev/null
    chmod 0444 tls.crt tls.key
    echo "made secrets/tls.crt and secrets/tls.key, self-signed, for localhost"
fi
