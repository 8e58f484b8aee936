#!/usr/bin/env bash
# Puts an Asterisk for the tests into a folder of its own, with the libraries it
# needs, from the packages of another Debian: 12 and 13 have none. Nothing of it is
# installed or started, and internal/asterisktest finds it there.
#
#	scripts/asterisk.sh [FOLDER]
set -euo pipefail
to=${1:-/opt/deskline-asterisk}
[ -x "$to/usr/sbin/asterisk" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# try SUITE: download and unpack; apt checks the signatures as always.
try() {
	local suite=$1 dir=$work/$1
	mkdir -p "$dir"/{state/lists/partial,cache/archives/partial,parts} "$to.new"
	: >"$dir/state/status"
	echo "deb http://deb.debian.org/debian $suite main" >"$dir/sources.list"
	cat >"$dir/apt.conf" <<-CONF
		Dir::State "$dir/state";
		Dir::State::status "$dir/state/status";
		Dir::Cache "$dir/cache";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "$dir/parts";
		Dir::Etc::preferencesparts "$dir/parts";
		APT::Install-Recommends "false";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
	CONF
	apt-get -q -c "$dir/apt.conf" update &&
		apt-get -q -c "$dir/apt.conf" install --download-only -y asterisk || return 1
	for package in "$dir"/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$package" | tar -x -C "$to.new" --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' --exclude='./usr/share/perl*' || return 1
	done
	[ -x "$to.new/usr/sbin/asterisk" ]
}

for suite in bullseye sid; do
	rm -rf "$to.new"
	if try "$suite"; then
		rm -rf "$to"
		mv "$to.new" "$to"
		exit 0
	fi
done
rm -rf "$to.new"
exit 1
