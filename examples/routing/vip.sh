#!/bin/sh
# Leads applications to production by an address that moves between two hosts, over ssh. Needs jq, and on the hosts iproute2
# and arping. Untried where your hosts, interfaces and rights are others: try each line by hand first.
#
#   [endpoint]
#   kind = "command"
#   command = ["examples/routing/vip.sh", "10.0.0.100/24", "eth0"]
#
# Connections to the address break when it moves; new ones reach the new production.
set -eu
address=$1 interface=$2
plan=$(cat)
[ "$(printf %s "$plan" | jq -r .action)" = switch ] || { echo "an address cannot be held"; exit 0; }
host() { printf %s "$plan" | jq -r ".$1.address | sub(\":[0-9]+\$\"; \"\")"; }
# It may be gone from there already, or the host be down: two hosts with one address would be worse than none.
ssh "$(host from)" "ip addr del $address dev $interface" || ! ssh "$(host from)" "ip addr show dev $interface | grep -q ${address%/*}"
ssh "$(host to)" "ip addr replace $address dev $interface && arping -q -U -c 3 -I $interface ${address%/*}"
echo "$address is on $(host to)"
