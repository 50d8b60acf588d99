# The first command in pasta's namespaces, and root there. Leaves one way out: the default route.
# Arguments: addresses to allow (with #PORT: this TCP port alone), addresses to deny, those of them without a route, the
# name server, the folder with bwrap's inputs; then the command.
set -eu
allowed=$1 denied=$2 unreachable=$3 name_server=$4 files=$5
shift 5
# The tools in front of us may chatter; only now stderr is the build's.
exec 2>&0 0</dev/null
exec 5<"$files/seccomp" 6<"$files/resolv.conf" 7<"$files/passwd" 8<"$files/group" 9<"$files/arguments"
rm -r "$files"

close_family() {
    [ "$1" = 4 ] || [ -e /proc/net/if_inet6 ] || return 0
    policies "$1"
    default=$(ip "-$1" route show default | head -n 1)
    [ -n "$default" ] || return 0
    via=$(echo "$default" | sed -n 's/.*\( via [^ ]*\).*/\1/p')
    dev=$(echo "$default" | sed -n 's/.*\( dev [^ ]*\).*/\1/p')
    # The neighbours would be reachable otherwise: their route is narrower than those that follow.
    echo "route flush$dev proto kernel"
    [ "$1" = 4 ] || echo "route add fe80::/64$dev"
    for address in $unreachable; do is_of_family "$1" "$address" && echo "route add unreachable $address"; done
    for address in $allowed; do is_of_family "$1" "$address" && echo "route replace ${address%#*}$via$dev onlink"; done
    # A rule knows ports, a route does not: the name server has a table of its own for questions alone.
    is_of_family "$1" "$name_server" || return 0
    echo "route add $name_server$via$dev onlink table 53"
    for protocol in udp tcp; do echo "rule add to $name_server ipproto $protocol dport 53 lookup 53"; done
}

# Routes alone do not close: a socket that names its interface (SO_BINDTODEVICE, IP_PKTINFO) passes over the route that
# denies, and over the loopback's. Policies are asked after the route. ICMP passes: it finds the neighbours.
policies() {
    for address in $allowed; do is_of_family "$1" "$address" && policy "$(with_port "$address")" 1 allow; done
    for protocol in udp tcp; do
        for address in $denied; do is_of_family "$1" "$address" && policy "$(selector "$address") proto $protocol" 2 block; done
        is_of_family "$1" "$name_server" && policy "$name_server proto $protocol dport 53" 1 allow
    done
    return 0
}

with_port() {
    case $1 in *#*) echo "${1%#*} proto tcp dport ${1#*#}" ;; *) echo "$1" ;; esac
}

policy() {
    echo "xfrm policy update dst $1 dir out priority $2 action $3"
}

# Policies of IPv6 hold on the loopback as well, which is the build's own: so they name the interface, as such sockets do.
# Link-local and multicast addresses have routes by the interface that every socket may take.
selector() {
    case $1 in fe80:* | ff00:*) echo "$1" ;; *:*) echo "$1 dev $interface" ;; *) echo "$1" ;; esac
}

is_of_family() {
    case $2 in *:*) [ "$1" = 6 ] ;; *) [ "$1" = 4 ] ;; esac
}

interface=$(ip -o link show type tun | sed -n 's/^[0-9]*: \([^:@]*\).*/\1/p')
for family in 4 6; do
    commands=$(close_family $family)
    [ -z "$commands" ] || echo "$commands" | ip "-$family" -batch -
done

exec bwrap --args 9 "$@"
