# Sourced: packages by apt-get, quietly, also when several makes run at once.

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null; }

# DPkg::Lock::Timeout is not for the lock of the lists: if another apt-get is fetching them, wait for its end.
update_lists() {
    local tries
    for tries in {1..30}; do
        apt_get update && return
        [ "$tries" = 30 ] || sleep 2
    done
    return 1
}

# Start no service for a package that is being installed, unless this machine has rules of its own for that.
policy=/usr/sbin/policy-rc.d
refuse_services() {
    if [ -e "$policy" ] || [ -L "$policy" ]; then return; fi
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}
