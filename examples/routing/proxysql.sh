#!/bin/sh
# Leads applications to production by ProxySQL's admin interface. Needs jq and a mysql client whose option file has the admin
# account. Untried with your version of ProxySQL: look at `mysql_servers` after a dry call.
#
#   [endpoint]
#   kind = "command"
#   command = ["examples/routing/proxysql.sh", "0"]     # the hostgroup of writers
#
# While no server of the hostgroup is online, ProxySQL lets queries wait, up to mysql-connect_timeout_server_max.
set -eu
group=$1
plan=$(cat)
field() { printf %s "$plan" | jq -r "$1"; }
where() { echo "hostgroup_id = $group AND hostname = '$(field ".$1.address | sub(\":[0-9]+\$\"; \"\")")' AND port = $(field ".$1.address | sub(\".*:\"; \"\")")"; }
case $(field .action) in
    hold) sql="UPDATE mysql_servers SET status = 'OFFLINE_SOFT' WHERE $(where from);" ;;
    release) sql="UPDATE mysql_servers SET status = 'ONLINE' WHERE $(where from);" ;;
    switch)
        sql="UPDATE mysql_servers SET status = 'OFFLINE_HARD' WHERE $(where from);
             UPDATE mysql_servers SET status = 'ONLINE' WHERE $(where to);"
        ;;
esac
mysql --defaults-group-suffix=proxysql --execute "$sql LOAD MYSQL SERVERS TO RUNTIME; SAVE MYSQL SERVERS TO DISK;"
echo "$(field .action) done"
