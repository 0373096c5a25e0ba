#!/bin/sh
# Run by PostgreSQL's image when its volume is empty: a role and a database for each, which nobody else can open.
set -eu
for name in amends order inventory payment delivery notification; do
  case "$name" in amends) variable=COORDINATOR_PASSWORD ;; *) variable="$(echo "$name" | tr a-z A-Z)_PASSWORD" ;; esac
  eval "password=\$$variable"
  psql --quiet --set ON_ERROR_STOP=1 --username postgres --set name="$name" --set password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
