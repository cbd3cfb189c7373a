# Amounts are in cents, so that nothing is rounded before the end.

cents() {
    echo "$1" | awk '{ printf "%d", $1 * 100 + 0.5 }'
}

show() {
    echo "$1" | awk '{ printf "%.2f\n", $1 / 100 }'
}

total() {
    show $(($(cents "$1") * $2))
}
