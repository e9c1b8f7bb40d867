#!/bin/sh
# Leads applications to production by a DNS name, with RFC 2136 updates (`nsupdate` of BIND). Needs jq. Untried against a
# real name server of yours: try it with `echo '{"action":"switch",…}' | ./dns.sh` first.
#
#   [endpoint]
#   kind = "command"
#   command = ["examples/routing/dns.sh", "mydb1.db.example.", "/etc/bluegreen/tsig.key"]
#
# Clients must not keep the address longer than the record's time to live (5 s here), or reconnect when writes are refused.
set -eu
name=$1 key=$2
plan=$(cat)
[ "$(printf %s "$plan" | jq -r .action)" = switch ] || { echo "a name cannot be held"; exit 0; }
host=$(printf %s "$plan" | jq -r '.to.address | sub(":[0-9]+$"; "")')
nsupdate -k "$key" <<EOF
update delete $name CNAME
update add $name 5 CNAME $host.
send
EOF
echo "$name is $host"
