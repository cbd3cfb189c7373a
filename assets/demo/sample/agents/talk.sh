# What the scripted agents share: they stand in for real ones and look a little like them.
bold='\033[1m' dim='\033[2m' green='\033[32m' blue='\033[34m' yellow='\033[33m' off='\033[0m'

say() { printf "${blue}●${off} %b\n" "$1"; sleep "${2:-4}"; }
note() { printf "  ${dim}%s${off}\n" "$1"; sleep "${2:-1.5}"; }
title() { printf '\033]0;%s\007' "$1"; printf "${bold}%s${off}\n\n" "$1"; sleep 2; }

try() {
    printf "${blue}●${off} Running ${bold}./check${off}\n"
    sleep 3
    ./check | while read -r line; do note "$line" 0.3; done
}
