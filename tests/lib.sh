# What tests/run and tests/torture have in common. To be sourced, with the name of the caller: `. lib.sh tests/run`.
# shellcheck shell=bash

caller=$1

# What the tests' builds of the programs have: crash points, which no release has, and what is left out where nobody asks.
test_features=worker/fault,worker/otel,cli/fault

have_postgresql() {
  local folder
  if command -v initdb >/dev/null && command -v pg_ctl >/dev/null; then
    return 0
  fi
  for folder in /usr/lib/postgresql/*/bin; do
    if [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ]; then
      return 0
    fi
  done
  return 1
}

have_pgbouncer() {
  PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null
}

have_servers() {
  have_postgresql && have_pgbouncer && command -v openssl >/dev/null && command -v prometheus >/dev/null &&
    command -v chromium >/dev/null
}

# Installs packages and starts none of their services: Debian asks /usr/sbin/policy-rc.d, which is put there for as long as it
# takes, where there is none.
install_packages() {
  local policy=/usr/sbin/policy-rc.d code=0 is_ours=
  if [ ! -e "$policy" ]; then
    is_ours=yes
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 || code=$?
  if [ -n "$is_ours" ]; then
    "${as_root[@]}" rm -f "$policy"
  fi
  return "$code"
}

install_servers() {
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    as_root=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
    return 1
  fi
  echo "$caller: installing PostgreSQL's server, pgbouncer, openssl, Prometheus and Chromium" >&2
  "${as_root[@]}" apt-get update -qq && install_packages postgresql pgbouncer openssl prometheus chromium fonts-dejavu-core
}

need_cargo_and_servers() {
  if ! command -v cargo >/dev/null; then
    echo "$caller: cargo is missing; install Rust from https://rustup.rs" >&2
    exit 1
  fi
  if ! have_servers && { ! install_servers || ! have_servers; }; then
    echo "$caller: PostgreSQL's server (initdb and pg_ctl), pgbouncer, openssl, Prometheus or Chromium is missing and" >&2
    echo "  could not be installed from here; install the packages (Debian, Ubuntu: sudo apt-get install postgresql pgbouncer" >&2
    echo "  openssl prometheus chromium fonts-dejavu-core), then try again" >&2
    exit 1
  fi
}

# Where cargo puts what it builds.
target_folder() {
  cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# Makes the folder $scratch, with room for $1 gigabytes. Temporary files go into it, and it must be empty again in the end.
# In memory where that has room twice over: only processes crash here, so what the system was told to keep, it keeps.
# Others may pass through it, because the server does not run as root.
make_scratch() {
  local folder=/tmp kilobytes=$((2 * $1 * 1000 * 1000))
  if [ -w /dev/shm ] && [ "$(df --output=avail -k /dev/shm | tail -n 1)" -gt "$kilobytes" ] &&
    [ "$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)" -gt "$kilobytes" ]; then
    folder=/dev/shm
  fi
  scratch=$(mktemp -d "$folder/backstitch-run.XXXXXX")
  chmod 711 "$scratch"
}

# Removes $scratch; fails where something was left in it. Whoever cleans up there has hundreds of thousands of files to
# remove, and a slow disk takes minutes for them.
remove_scratch() {
  local attempt
  for attempt in $(seq 1500); do
    if rmdir "$scratch" 2>/dev/null; then
      return 0
    fi
    sleep 0.2
  done
  echo "$caller: something was left behind in $scratch:" >&2
  ls -A "$scratch" >&2
  return 1
}
