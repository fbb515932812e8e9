#!/bin/bash
# Copies the primary when the standby's folder is new, and then follows it.
set -euo pipefail

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    install --directory --owner=postgres --group=postgres --mode=0700 "$PGDATA"
    gosu postgres env PGPASSWORD="$REPLICATION_PASSWORD" pg_basebackup --pgdata "$PGDATA" --write-recovery-conf --slot db2 \
        --checkpoint fast --dbname "host=db1 user=replicator application_name=db2"
fi
exec docker-entrypoint.sh postgres -c shared_buffers=1GB -c wal_retrieve_retry_interval=500ms
