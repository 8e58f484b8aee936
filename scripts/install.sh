#!/usr/bin/env bash
# Installs what the tests need and the machine lacks, from Debian's packages, if
# it may: a C compiler for the race detector, Redis for the shared store, OpenLDAP
# for the directory, Radicale for calendars, SIPp, Kamailio and baresip as telephones, openssl
# and Pebble as authorities, HAProxy and ip for the ledgers, Node.js and
# Chromium for the real clients. What cannot be
# installed is named; the exit code is 0 all the same.
set -uo pipefail
cd "$(dirname "$0")/.."

packages=()
command -v gcc >/dev/null || packages+=(gcc libc6-dev)
command -v redis-server >/dev/null || packages+=(redis-server)
command -v redis-cli >/dev/null || packages+=(redis-tools)
[ -x /usr/sbin/slapd ] || packages+=(slapd)
command -v ldapadd >/dev/null || packages+=(ldap-utils)
command -v pebble >/dev/null || packages+=(pebble)
command -v radicale >/dev/null || packages+=(radicale)
command -v openssl >/dev/null || packages+=(openssl)
command -v haproxy >/dev/null || packages+=(haproxy)
command -v ip >/dev/null || packages+=(iproute2)
command -v sipp >/dev/null || packages+=(sip-tester)
command -v kamailio >/dev/null || packages+=(kamailio)
[ -n "$(find /usr/lib -name presence_dialoginfo.so 2>/dev/null)" ] || packages+=(kamailio-presence-modules)
command -v baresip >/dev/null || packages+=(baresip-core)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || packages+=(chromium)

if [ ${#packages[@]} -gt 0 ]; then
	if ! command -v apt-get >/dev/null; then
		echo "missing: ${packages[*]} (no apt-get here to install them with)"
	elif [ "$(id -u)" != 0 ]; then
		echo "missing: ${packages[*]} (as root: apt-get install ${packages[*]})"
	else
		echo "installing ${packages[*]}"
		export DEBIAN_FRONTEND=noninteractive
		log=$(mktemp)
		if ! { apt-get update && apt-get install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
			tail -n 20 "$log"
			echo "missing: ${packages[*]} (apt-get failed, see above)"
		fi
		rm -f "$log"
	fi
fi
exit 0
